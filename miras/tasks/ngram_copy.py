"""n-gram copying: find some letters in a long string and go on from there."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, certain
from miras.tasks.frequency import floors_of_letters, mode_share
from miras.tasks.ladder import Ladder, Rung

MOST = 1024
"""Letters of a string; the floor of more takes long to compute."""


class NgramCopy(Ladder):
    """The letters that followed an n-gram in a string of m: verbatim memory found by its content.

        d a b c a d c | a b c a             (the letters c a d are due at b c a, n = 2)

    A random string, a bar, then an n-gram of it and the letters after it. Each letter is due at
    the one before it, the first at the last letter of the n-gram; as in the source the answer so
    far is given, so that the latest n letters are the question. The n-gram occurs once in the
    string. Answers: length - m - n. Ids: letters, bar.
    Isolates: verbatim memory of a long string, found by its content.
    Floor: the most frequent letter among those of the string that are not given yet: the mean of
    E[max count] / l over l = m - n, m - n - 1, ... letters, drawn uniformly.
    Extrapolation: longer strings.

    Source: Repeat after me (arXiv 2402.01032), n-gram lookup with the n-gram after the string.
    Differs: the n-gram is unique (there it is drawn among all, and the answer is ambiguous where
    it occurs twice); answers have half the length of the string instead of a fixed one.
    """

    kind: Literal["ngram_copy"] = "ngram_copy"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(27, 16), Rung(51, 32), Rung(99, 64)),
        min_length=1,
        description="[length, letters of the string] of the trained rungs; the length has answers",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(195, 128), Rung(387, 256)),
        description="[length, letters of the string] that are only tested",
    )
    alphabet: int = Field(default=26, ge=2, le=1_000_000, description="different letters")
    ngram: int = Field(default=3, ge=1, le=7, description="letters of the question")
    symbol: ClassVar[str] = "m"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(51, 32), Rung(99, 64), Rung(220, 145)),
        "extrapolation": (Rung(450, 300), Rung(900, 600)),
        "steps": 50_000,
    }

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 1

    def check(self, rung: Rung) -> None:
        length, letters = rung
        answers = length - letters - self.ngram
        if letters > MOST:
            raise SpecError(f"rung {[*rung]} has more than {MOST} letters: take fewer")
        if not 1 <= answers <= letters - self.ngram:
            raise SpecError(
                f"rung {[*rung]} leaves {answers} letters to answer, a string of {letters} has 1 to"
                f" {letters - self.ngram} after {self.ngram} others: its length should be between"
                f" {letters + self.ngram + 1} and {2 * letters}"
            )
        if letters > self.alphabet**self.ngram:
            raise SpecError(
                f"rung {[*rung]} has so many letters that few of its {self.ngram}-grams occur"
                f" once among {self.alphabet**self.ngram}: raise `ngram` or `alphabet`"
            )

    def floor(self, rung: Rung) -> float:
        left = range(2 * rung.load + 1 - rung.length, rung.load - self.ngram + 1)
        return float(np.mean([mode_share(letters, self.alphabet) for letters in left]))

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        """Strings whose drawn n-gram is not unique are drawn again."""
        length, letters = rung
        asked = length - letters - 1  # tokens after the bar
        tokens = np.full((sequences, length), self.alphabet)
        place = np.arange(asked + 1)
        following = np.empty((sequences, asked + 1), np.int64)
        missing = np.arange(sequences)
        while len(missing):
            string = generator.integers(0, self.alphabet, (len(missing), letters))
            start = generator.integers(0, letters - asked, (len(missing), 1))
            row = np.arange(len(missing))[:, None]
            told = string[row, start + place]
            same = np.ones((len(missing), letters - self.ngram + 1), bool)
            for offset in range(self.ngram):
                here = string[:, offset : offset + same.shape[1]]
                same &= here == told[:, offset : offset + 1]
            unique = same.sum(1) == 1
            tokens[missing[unique], :letters] = string[unique]
            following[missing[unique]] = told[unique]
            missing = missing[~unique]
        tokens[:, letters + 1 :] = following[:, :-1]
        targets = np.full_like(tokens, IGNORE)
        targets[:, letters + self.ngram :] = following[:, self.ngram :]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        answers = torch.full_like(tokens, IGNORE)
        bars = (tokens[0] == self.alphabet).nonzero()  # at the same place in all rows
        bar = int(bars[0]) if len(bars) else tokens.shape[1]
        first = bar + self.ngram
        if first >= tokens.shape[1]:
            return answers
        windows = tokens[:, :bar].unfold(1, self.ngram, 1)
        asked = tokens[:, bar + 1 : first + 1]
        start = (windows == asked[:, None]).all(2).long().argmax(1, keepdim=True)
        place = start + torch.arange(self.ngram, self.ngram + tokens.shape[1] - first)
        answers[:, first:] = tokens.gather(1, place.clamp_max(bar - 1))
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def most_frequent(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            behind = ((tokens == self.alphabet).cumsum(1) > 0)[:, :, None]
            # Letters count in the string and are taken off where they come after the bar.
            letter = F.one_hot(tokens, self.vocabulary)[:, :, :-1]
            left = letter.where(~behind, -letter).cumsum(1)
            return certain(left.argmax(2)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        stated = {f"accuracy/{self.label(rung)}": self.floor(rung) for rung in rungs}
        one_id = floors_of_letters(self, self.alphabet)["one_id"]
        return {"one_id": one_id, "most_frequent": Floor(most_frequent, stated)}
