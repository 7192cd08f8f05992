"""Copying after a delay: say the first letters again, in order."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows
from miras.tasks.frequency import floors_of_letters, mode_share
from miras.tasks.ladder import Ladder, Rung

MOST = 1024
"""Letters of a sequence; the floor of more takes long to compute."""

FEWEST = 10_000
"""Different sequences of a rung: splits take whole sequences, and of few they take odd ones."""


class Copy(Ladder):
    """Repetition of n letters that stood at the start, after a delay of blanks.

        b a c b . . . . . . > _ _ _ _         (. blank, > delimiter; b a c b are due at the _)

    Letters are drawn with replacement. All places of answers look the same, and an answer is not
    given back as input: which letter is due follows from the place alone. The delay is what a
    rung's length leaves: length - 2 n - 1. With a random delay it is drawn uniformly from 0 up to
    that, for each sequence, and the rest of the blanks stand before the letters: no fixed shift of
    places gives the answers. Ids: letters, blank (also at the answers), delimiter.
    Isolates: order in time across a delay, without any content to address.
    Floor: the most frequent letter of the sequence at all answers, E[max count] / n for letters
    drawn uniformly (0.22 for 10 of 19). It is what a predictor that cannot tell places reaches.
    Extrapolation: the same n after a longer delay.

    Source: the copying task of Hochreiter and Schmidhuber (1997) as in unitary recurrent networks
    (arXiv 1511.06464) section 5.1; MemNet (github.com/Ant1pozitive/memory-is-all-you-need) with
    n = 10, a delay of 100 and 19 letters. Differs: the blank is a token of its own, in MemNet's
    data it is also the first letter; the random delay is ours.
    """

    kind: Literal["copy"] = "copy"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(64, 4), Rung(64, 8), Rung(64, 16)),
        min_length=1,
        description="[length, letters to repeat] of the trained rungs; the length has the answers",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(120, 8), Rung(232, 8)),
        description="[length, letters to repeat] that are only tested",
    )
    alphabet: int = Field(default=14, ge=2, le=1_000_000, description="different letters")
    delay: Literal["fixed", "random"] = Field(
        default="fixed", description="fixed: the whole length; random: up to it, for each sequence"
    )
    symbol: ClassVar[str] = "n"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(121, 10),),
        "extrapolation": (Rung(221, 10), Rung(421, 10)),
        "alphabet": 19,
    }

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 2

    def check(self, rung: Rung) -> None:
        if rung.load > MOST:
            raise SpecError(f"rung {[*rung]} has more than {MOST} letters: take fewer")
        if 2 * rung.load + 1 > rung.length:
            raise SpecError(
                f"rung {[*rung]} is too short: {rung.load} letters, a delimiter and as many"
                f" answers take {2 * rung.load + 1} tokens"
            )
        if self.alphabet**rung.load < FEWEST:
            raise SpecError(
                f"rung {[*rung]} has {self.alphabet**rung.load} different sequences, too few to"
                f" keep splits apart: take more letters or a larger alphabet, for {FEWEST}"
            )

    def floor(self, rung: Rung) -> float:
        return mode_share(rung.load, self.alphabet)

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, letters = rung
        letter = generator.integers(0, self.alphabet, (sequences, letters))
        tokens = np.full((sequences, length), self.alphabet)
        start = np.zeros((sequences, 1), np.int64)
        if self.delay == "random":
            start = generator.integers(0, length - 2 * letters, (sequences, 1))
        np.put_along_axis(tokens, start + np.arange(letters), letter, 1)
        tokens[:, length - letters - 1] = self.alphabet + 1
        targets = np.full_like(tokens, IGNORE)
        targets[:, length - letters :] = letter
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        asked = (tokens == self.alphabet + 1).cumsum(1).roll(1, 1)
        asked[:, 0] = 0
        start = (tokens < self.alphabet).long().argmax(1, keepdim=True)
        place = (start + asked.cumsum(1) - 1).clamp(0, tokens.shape[1] - 1)
        return tokens.gather(1, place).where(asked > 0, IGNORE)

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        return floors_of_letters(self, self.alphabet)
