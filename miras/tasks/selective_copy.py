"""Selective copying: repeat what mattered, in order, and nothing else."""

from functools import cache
from math import exp, lgamma, log
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, certain, distinct
from miras.tasks.ladder import Ladder, Rung

MOST = 1024
"""Letters of a sequence; the floor of more takes long to compute."""


class SelectiveCopy(Ladder):
    """Repetition of n letters that stand at random places among blanks: what to let in, and order.

        . b . . a . . . c . b . > > > >         (. blank; the answers b a c b are due at the >)

    Places are drawn uniformly without replacement from all before the markers, letters with
    replacement. An answer is not given back as input. Ids: letters, blank, marker.
    Floor: the most frequent letter of the sequence, at all markers: E[max count] / n for letters
    drawn uniformly, which is above 1 / alphabet (0.27 against 0.07 for 8 of 14 letters).
    Extrapolation: the same n in a longer prefix.

    Source: Mamba (arXiv 2312.00752) section 4.1.1, MAD (arXiv 2403.17844). Differs: any place is
    possible for the last letter (in MAD's generator it always touches the marker).
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
        def one_id(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.zeros_like(tokens)[scored], self.vocabulary)

        def most_frequent(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            letters = torch.arange(self.alphabet)
            mode = (tokens[:, :, None] == letters).sum(1).argmax(1, keepdim=True)
            return certain(mode.expand_as(tokens)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        return {
            "one_id": Floor(
                one_id, {f"accuracy/{self.label(r)}": 1 / self.alphabet for r in rungs}
            ),
            "most_frequent": Floor(
                most_frequent, {f"accuracy/{self.label(r)}": self.floor(r) for r in rungs}
            ),
        }


@cache
def mode_share(letters: int, alphabet: int) -> float:
    """E[count of the most frequent letter] / letters, for letters drawn uniformly.

    Counts of letters are independent Poisson variables c of mean letters / alphabet, given their
    sum: P(no count above m) = [x^letters] (sum_{c <= m} P(c) x^c)^alphabet / P(sum = letters), and
    the expectation is the sum of the complements over m.
    """
    mean = letters / alphabet
    weight = [exp(c * log(mean) - mean - lgamma(c + 1)) for c in range(letters + 1)]
    of_sum = exp(letters * log(letters) - letters - lgamma(letters + 1))
    expected = 0.0
    for most in range(letters):
        all_below = _coefficient(np.array(weight[: most + 1]), alphabet, letters) / of_sum
        if all_below > 1 - 1e-9:
            break
        expected += 1 - all_below
    return expected / letters


def _coefficient(polynomial: NDArray[np.float64], power: int, degree: int) -> float:
    """Coefficient of x^degree in polynomial^power."""
    result = np.ones(1)
    while power:
        if power & 1:
            result = np.convolve(result, polynomial)[: degree + 1]
        polynomial = np.convolve(polynomial, polynomial)[: degree + 1]
        power >>= 1
    return float(result[degree]) if len(result) > degree else 0.0
