"""Compression: hold a whole sequence, so that any place of it can be told."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows
from miras.tasks.frequency import floors_of_letters, mode_share
from miras.tasks.ladder import Ladder, Rung

MOST = 1024
"""Letters of a sequence; the floor of more takes long to compute."""


class Compression(Ladder):
    """The letter at each place of a sequence, asked in random order: how much one state holds.

        b a c b # . . 2 4 1 3           (# marker, . blank; a b b c are due at the places 2 4 1 3)

    Letters are drawn with replacement. Each place is asked once, by an id of its own, and an answer
    is not given back as input. A recurrent memory has to hold all letters when it meets the marker:
    nothing is redundant, n log2(alphabet) bits. The blanks are what a rung's length leaves,
    length - 2 n - 1. Ids: letters, blank, marker, places.
    Isolates: how much one state holds, with nothing redundant and access by place.
    Floor: the most frequent letter of the sequence, at all places: E[max count] / n for letters
    drawn uniformly. It is what a predictor that cannot tell places reaches.
    Extrapolation: the same n after more blanks.

    Source: MAD (arXiv 2403.17844), compression. Differs: MAD decodes all places from the one
    hidden state at the marker, with a head of its own; here any model answers, so attention may
    look at the letters again and is not squeezed. The marker is not scored (in MAD it is, which
    lifts its floor from 0.067 to 0.096 for 16 ids and 32 places).
    """

    kind: Literal["compression"] = "compression"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(16, 4), Rung(24, 8), Rung(40, 16), Rung(72, 32)),
        min_length=1,
        description="[length, letters to hold] of the trained rungs; the length has the questions",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(72, 16), Rung(136, 16)),
        description="[length, letters to hold] that are only tested",
    )
    alphabet: int = Field(default=15, ge=2, le=1_000_000, description="different letters")
    symbol: ClassVar[str] = "n"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(65, 32), Rung(129, 64), Rung(257, 128), Rung(513, 256)),
        "extrapolation": (Rung(640, 256),),
        "steps": 20_000,
        "batch": 128,
        "test": 1280,
    }

    @property
    def places(self) -> int:
        """Ids of places: as many as the largest rung has letters."""
        return max(rung.load for rung in (*self.rungs, *self.extrapolation))

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 2 + self.places

    def check(self, rung: Rung) -> None:
        if rung.load > MOST:
            raise SpecError(f"rung {[*rung]} has more than {MOST} letters: take fewer")
        if rung.load > self.rungs[-1].load:
            raise SpecError(
                f"rung {[*rung]} asks for places above {self.rungs[-1].load}, whose ids no trained"
                " rung has: extrapolate in the length alone"
            )
        if 2 * rung.load + 1 > rung.length:
            raise SpecError(
                f"rung {[*rung]} is too short: {rung.load} letters, a marker and as many questions"
                f" take {2 * rung.load + 1} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return mode_share(rung.load, self.alphabet)

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, letters = rung
        letter = generator.integers(0, self.alphabet, (sequences, letters))
        asked = generator.permuted(np.tile(np.arange(letters), (sequences, 1)), axis=1)
        tokens = np.full((sequences, length), self.alphabet)
        tokens[:, :letters] = letter
        tokens[:, letters] = self.alphabet + 1
        tokens[:, length - letters :] = self.alphabet + 2 + asked
        targets = np.full_like(tokens, IGNORE)
        targets[:, length - letters :] = np.take_along_axis(letter, asked, 1)
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        place = tokens - self.alphabet - 2
        answers = tokens.gather(1, place.clamp(0, tokens.shape[1] - 1))
        return answers.where(place >= 0, torch.full_like(tokens, IGNORE))

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        return floors_of_letters(self, self.alphabet)
