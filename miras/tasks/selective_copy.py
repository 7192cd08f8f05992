"""Selective copying: repeat what mattered, in order, and nothing else."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, distinct
from miras.tasks.frequency import floors_of_letters, mode_share
from miras.tasks.ladder import Ladder, Rung

MOST = 1024
"""Letters of a sequence; the floor of more takes long to compute."""


class SelectiveCopy(Ladder):
    """Repetition of n letters that stand at random places among blanks: what to let in, and order.

        . b . . a . . . c . b . > > > >         (. blank; the answers b a c b are due at the >)

    Places are drawn uniformly without replacement from all before the markers, letters with
    replacement. An answer is not given back as input. Ids: letters, blank, marker.
    Isolates: a write gate that depends on the input, and order.
    Floor: the most frequent letter of the sequence, at all markers: E[max count] / n for letters
    drawn uniformly, which is above 1 / alphabet (0.27 against 0.07 for 8 of 14 letters).
    Extrapolation: the same n in a longer prefix.

    Source: Mamba (arXiv 2312.00752) section 4.1.1, MAD (arXiv 2403.17844). Differs: any place is
    possible for the last letter (in MAD's generator it always touches the marker). Full: MAD's
    numbers of letters as one ladder (MAD trains one model for each), its lengths as extrapolation.
    """

    kind: Literal["selective_copy"] = "selective_copy"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(64, 4), Rung(64, 8), Rung(64, 16)),
        min_length=1,
        description="[length, letters to repeat] of the trained rungs; the length has the markers",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(120, 8), Rung(232, 8)),
        description="[length, letters to repeat] that are only tested",
    )
    alphabet: int = Field(default=14, ge=2, le=1_000_000, description="different letters")
    symbol: ClassVar[str] = "n"
    objective: ClassVar[Objective] = "selection"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(256, 16), Rung(256, 32), Rung(256, 64), Rung(256, 96)),
        "extrapolation": (Rung(512, 16), Rung(1024, 16)),
        "steps": 20_000,
        "batch": 128,
        "test": 1280,
    }

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 2

    def check(self, rung: Rung) -> None:
        if rung.load > MOST:
            raise SpecError(f"rung {[*rung]} has more than {MOST} letters: take fewer")
        if 2 * rung.load > rung.length:
            raise SpecError(
                f"rung {[*rung]} is too short: {rung.load} letters and as many markers take"
                f" {2 * rung.load} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return mode_share(rung.load, self.alphabet)

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, letters = rung
        prefix = length - letters
        place = np.sort(distinct(generator, sequences, prefix, letters), axis=1)
        letter = generator.integers(0, self.alphabet, (sequences, letters))
        tokens = np.full((sequences, length), self.alphabet)
        tokens[np.arange(sequences)[:, None], place] = letter
        tokens[:, prefix:] = self.alphabet + 1
        targets = np.full_like(tokens, IGNORE)
        targets[:, prefix:] = letter
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        is_letter, is_marker = tokens < self.alphabet, tokens == self.alphabet + 1
        row, place = is_letter.nonzero(as_tuple=True)
        letters = torch.full_like(tokens, IGNORE)
        letters[row, is_letter.cumsum(1)[row, place] - 1] = tokens[row, place]
        answers = letters.gather(1, (is_marker.cumsum(1) - 1).clamp_min(0))
        return answers.where(is_marker, IGNORE)

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        return floors_of_letters(self, self.alphabet)
