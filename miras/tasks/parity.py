"""Parity: is the number of ones so far odd? A state that must be carried and never forgotten."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.tasks import (
    Batch,
    Evaluation,
    Floor,
    HeldOut,
    Objective,
    Predict,
    Rows,
    Task,
    ask,
    certain,
    draw,
    generator,
    scaled,
)

FLOOR = 0.5

Length = Annotated[int, Field(ge=2, le=1_048_576)]


class Parity(Task):
    """Parity of all bits so far, due at every position; judged beyond the trained lengths.

        bits     1 0 1 1 ...        answers (2 even, 3 odd)     3 3 2 3 ...

    Training lengths are uniform in shortest..longest. One set of words of the largest length tells
    all test lengths, since each prefix of a word is a word. Score: accuracy over the positions
    longest + 1 .. max(lengths), scaled from a floor of 1/2. No position that counts was ever
    trained, so no scored answer can be known by heart. `accuracy/trained`, on the positions
    1 .. longest, shows the fit: attention fits them and fails beyond. `L50` is the largest length
    up to which half of the words have every answer right. `extrapolate=False` judges whole words
    of the longest trained length instead: progress of the training, not merit.
    Floor: 1/2, also for the parity of a window.

    Source: unlocking state tracking (arXiv 2411.12537) section 5.1; answers at every position as in
    the group words of DeltaProduct (arXiv 2502.10297). Answers have ids of their own, so that
    with tied embeddings an input bit does not vote for an answer.
    """

    kind: Literal["parity"] = "parity"
    shortest: int = Field(default=4, ge=2, le=1_048_576, description="shortest training word")
    longest: int = Field(default=32, ge=2, le=1_048_576, description="longest training word")
    lengths: tuple[Length, ...] = Field(
        default=(64, 128, 256), min_length=1, description="tested lengths, all above `longest`"
    )
    steps: int = Field(default=900, ge=1, le=10_000_000, description="default training length")
    batch: int = Field(default=256, ge=1, le=65_536, description="sequences per training step")
    test: int = Field(default=1024, ge=1, le=1_000_000, description="words")
    validation: int = Field(default=128, ge=1, le=1_000_000, description="words")
    objective: ClassVar[Objective] = "tracking"
    published: ClassVar[Mapping[str, Any]] = {
        "shortest": 3,
        "longest": 40,
        "steps": 100_000,
        "batch": 1024,
        "test": 4096,
    }

    @model_validator(mode="after")
    def _lengths_grow(self) -> "Parity":
        if self.shortest > self.longest:
            raise SpecError(
                f"shortest is {self.shortest} and longest {self.longest}: exchange them"
            )
        if any(right <= left for left, right in pairwise((self.longest, *self.lengths))):
            raise SpecError(
                f"lengths must grow and start above longest = {self.longest}, given are"
                f" {[*self.lengths]}: the score is about lengths that were never trained"
            )
        return self

    @property
    def vocabulary(self) -> int:
        return 4

    def sample(self, length: int, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh words of one length, of any split."""
        bits = generator.integers(0, 2, (sequences, length))
        return bits, 2 + bits.cumsum(1) % 2

    def train_batch(self, generator: np.random.Generator) -> Batch:
        length = int(generator.integers(self.shortest, self.longest + 1))
        return draw(lambda n: self.sample(length, n, generator), "train", self.batch)

    def held_out(self, length: int, split: HeldOut, seed: int) -> Batch:
        """The words that an evaluation asks."""
        stream = generator(self.name, split, seed, length)
        return draw(lambda n: self.sample(length, n, stream), split, self.sequences(split))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        length = self.lengths[-1] if extrapolate else self.longest
        answers = ask(predict, self.held_out(length, split, seed), self.vocabulary)
        correct = answers.correct.reshape(-1, length)
        nats = answers.nats.reshape(-1, length)
        trained = float(correct[:, : self.longest].mean())
        metrics = {"accuracy/trained": trained, "floor": FLOOR}
        if not extrapolate:
            return Evaluation(scaled(trained, FLOOR), metrics, float(nats.mean()))
        for tested in self.lengths:
            accuracy = float(correct[:, self.longest : tested].mean())
            metrics[f"accuracy/L={tested}"] = accuracy
            metrics[f"score/L={tested}"] = scaled(accuracy, FLOOR)
        score = metrics[f"score/L={length}"]
        metrics["worst"] = min(metrics[f"score/L={tested}"] for tested in self.lengths)
        metrics["L50"] = float((np.logical_and.accumulate(correct, 1).mean(0) >= 0.5).sum())
        return Evaluation(score, metrics, float(nats[:, self.longest :].mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        return 2 + tokens.cumsum(1) % 2

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def always_even(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.full_like(tokens, 2)[scored], self.vocabulary)

        def window(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            ones = tokens.cumsum(1)
            ones[:, self.longest :] -= ones[:, : -self.longest].clone()
            return certain((2 + ones % 2)[scored], self.vocabulary)

        stated = {f"accuracy/L={tested}": FLOOR for tested in self.lengths}
        return {
            "always_even": Floor(always_even, {"accuracy/trained": FLOOR, **stated}),
            "window": Floor(window, {"accuracy/trained": 1.0, **stated}),
        }
