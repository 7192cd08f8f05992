"""A needle in a haystack: one short fact in long text, asked at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Answers, Batch, Floor, HeldOut, Objective, Rows, certain
from miras.tasks.corpus import Source, corpus
from miras.tasks.frequency import mode_share
from miras.tasks.ladder import Ladder, Rung
from miras.tasks.library import Text

NOISE = (
    b"The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
)

MARK = 256
"""Id of a place where a byte of the answer is due."""

KEY = 4
"""Letters of a key."""

FIFTHS = 5
"""Parts of the haystack by which accuracy is told apart."""

MOST = 1024
"""Bytes of a value; the floor of more takes long to compute."""


class Needle(Ladder):
    """A value of d bytes by its key, from anywhere in a long text: retention against distraction.

        The grass is gre|abcd=4711|en. The sky is bl|abcd=_ _ _ _     (| line feed; 4 7 1 1 are due)

    Tokens are bytes. A needle `key=value` stands on a line of its own at a place drawn uniformly
    from the whole haystack; the question is the key again, and an answer is not given back as
    input. What `variant` changes:

        passkey   repeated sentences, the key is always `pass`, decimal digits
        niah_1    repeated sentences, a random key of four letters, decimal digits
        niah_2    real text, a random key, decimal digits
        niah_3    real text, a random key, hexadecimal digits; a whole UUID is d = 32

    The haystack is taken from the training bytes of its text in all splits: it never tells the
    answer. A sequence that holds its question by chance a second time is drawn again.
    Ids: bytes, and the mark of an answer.
    Isolates: retention of one fact against distraction, far beyond the trained length.
    Floor: the most frequent digit of the value at all its places: E[max count] / d for digits
    drawn uniformly (0.29 for 7 decimal ones). It finds the needle and does not keep its order.
    Extrapolation: 2, 4 and 8 times the trained length.
    Metrics: `accuracy/depth=0.3/d=7`, of the needles in the second fifth of the haystack.

    Source: RULER (arXiv 2404.06654), S-NIAH 1 to 3; passkey retrieval (arXiv 2305.16300). Differs:
    trained on the task at small lengths, not asked of a language model; accuracy per byte of the
    value instead of whole values; keys of four letters instead of words, needles of a few bytes
    instead of a sentence; any depth is possible instead of 40.
    """

    kind: Literal["needle"] = "needle"
    variant: Literal["passkey", "niah_1", "niah_2", "niah_3"] = Field(
        default="niah_2", description="which haystack, key and digits"
    )
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(128, 7),),
        min_length=1,
        description="[length, bytes of the value] of the trained rungs; the length has all",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(256, 7), Rung(512, 7), Rung(1024, 7)),
        description="[length, bytes of the value] that are only tested",
    )
    path: Path | None = Field(
        default=None, description="a file or a folder of text; none: `text` is read"
    )
    text: Text = Field(default="python", description="a text at hand, for niah_2 and niah_3")
    batch: int = Field(default=32, ge=1, le=65_536, description="sequences per training step")
    test: int = Field(default=384, ge=1, le=1_000_000, description="sequences per rung")
    symbol: ClassVar[str] = "d"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(2048, 7),),
        "extrapolation": (Rung(4096, 7), Rung(8192, 7), Rung(16_384, 7)),
        "steps": 20_000,
        "test": 500,
    }

    @property
    def vocabulary(self) -> int:
        return 257

    @property
    def digits(self) -> NDArray[np.int64]:
        """The bytes that a value is made of."""
        digits = b"0123456789abcdef" if self.variant == "niah_3" else b"0123456789"
        return np.frombuffer(digits, np.uint8).astype(np.int64)

    def hay(self, rung: Rung) -> int:
        """Bytes around the needle: without `|key=value|`, `|key=` and the answer."""
        return rung.length - 2 * (KEY + rung.load) - 5

    def check(self, rung: Rung) -> None:
        if rung.load > MOST:
            raise SpecError(f"rung {[*rung]} has a value of more than {MOST} bytes: take fewer")
        if self.hay(rung) < 1:
            raise SpecError(
                f"rung {[*rung]} is too short: a needle with a value of {rung.load} bytes, its"
                f" question and its answer take {rung.length - self.hay(rung)} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return mode_share(rung.load, len(self.digits))

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, digits = rung
        tokens = np.empty((sequences, length), np.int64)
        missing = np.arange(sequences)
        while len(missing):
            drawn = self._drawn(rung, len(missing), generator)
            told = drawn[:, : length - digits]
            good = _occurrences(told, told[:, -KEY - 2 :]).sum(1) == 2  # needle and question
            tokens[missing[good]] = drawn[good]
            missing = missing[~good]
        targets = np.full_like(tokens, IGNORE)
        targets[:, length - digits :] = tokens[:, length - digits :]
        tokens[:, length - digits :] = MARK
        return tokens, targets

    def _drawn(
        self, rung: Rung, sequences: int, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Sequences that may hold their question by chance; the answer stands at the marks."""
        length, digits = rung
        hay = self.hay(rung)
        places: NDArray[np.int64] = np.arange(hay)
        if self.variant in ("passkey", "niah_1"):
            straw = np.frombuffer(NOISE, np.uint8)[np.tile(places % len(NOISE), (sequences, 1))]
        else:
            longest = max(self.hay(each) for each in (*self.rungs, *self.extrapolation))
            source = Source(self.path, "*", 16_000_000, longest + 1, self.text)
            train = corpus(source).train
            straw = train[generator.integers(0, len(train) - hay, (sequences, 1)) + places]
        key = generator.integers(97, 123, (sequences, KEY))
        if self.variant == "passkey":
            key[:] = np.frombuffer(b"pass", np.uint8)
        value = generator.choice(self.digits, (sequences, digits))
        feed, equals = np.full((sequences, 1), 10), np.full((sequences, 1), 61)
        question = np.concatenate([feed, key, equals], 1)
        needle = np.concatenate([question, value, feed], 1)
        depth = generator.integers(0, hay + 1, (sequences, 1))
        tokens = np.empty((sequences, length), np.int64)
        around: NDArray[np.int64] = np.where(places >= depth, places + needle.shape[1], places)
        np.put_along_axis(tokens, around, straw, 1)
        tokens[np.arange(sequences)[:, None], depth + np.arange(needle.shape[1])] = needle
        tokens[:, hay + needle.shape[1] :] = np.concatenate([question, value], 1)
        return tokens

    def needles(self, tokens: Int64[Tensor, "batch time"]) -> tuple[Int64[Tensor, " batch"], int]:
        """Where the needle begins in each row, and how many tokens of it there are."""
        first, value = self._place(tokens)
        return value[:, 0] - KEY - 2, KEY + 3 + tokens.shape[1] - first

    def details(self, batch: Batch, answers: Answers) -> dict[str, float]:
        """Accuracy by depth: the fifth of the haystack with the needle, named by its middle."""
        begin, long = self.needles(batch.tokens)
        digits = long - KEY - 3
        hay = self.hay(Rung(batch.tokens.shape[1], digits))
        fifth = begin.numpy() * FIFTHS // (hay + 1)
        right = answers.correct.reshape(len(fifth), digits).mean(1)
        return {
            f"accuracy/depth={(each + 0.5) / FIFTHS:g}": float(right[fifth == each].mean())
            for each in range(FIFTHS)
            if (fifth == each).any()
        }

    def _place(self, tokens: Int64[Tensor, "batch time"]) -> tuple[int, Int64[Tensor, "batch 1"]]:
        """Where the answer begins, in all rows, and where the value stands in the text."""
        marks = (tokens[0] == MARK).nonzero()
        first = int(marks[0]) if len(marks) else tokens.shape[1]
        told = tokens[:, :first].numpy()
        found = _occurrences(told, told[:, -KEY - 2 :]).argmax(1) + KEY + 2
        return first, torch.as_tensor(found)[:, None]

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        answers = torch.full_like(tokens, IGNORE)
        if (tokens[0] == MARK).any():
            first, start = self._place(tokens)
            place = start + torch.arange(tokens.shape[1] - first)
            answers[:, first:] = tokens.gather(1, place)
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        digits = torch.as_tensor(self.digits)

        def one_digit(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(digits[0].expand_as(tokens)[scored], self.vocabulary)

        def most_frequent(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            value = self.solve(tokens)
            mode = digits[(value[:, :, None] == digits).sum(1).argmax(1, keepdim=True)]
            return certain(mode.expand_as(tokens)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        alone = {f"accuracy/{self.label(rung)}": 1 / len(digits) for rung in rungs}
        stated = {f"accuracy/{self.label(rung)}": self.floor(rung) for rung in rungs}
        return {
            "one_digit": Floor(one_digit, alone),
            "most_frequent": Floor(most_frequent, stated),
        }


def _occurrences(
    text: Int64[np.ndarray, "rows time"], words: Int64[np.ndarray, "rows letters"]
) -> Bool[np.ndarray, "rows starts"]:
    """At which places the word of a row stands in its text."""
    found = np.ones((len(text), text.shape[1] - words.shape[1] + 1), bool)
    for offset in range(words.shape[1]):
        found &= text[:, offset : offset + found.shape[1]] == words[:, offset : offset + 1]
    return found
