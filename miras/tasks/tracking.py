"""Tasks whose answer at every position follows from all tokens so far, judged beyond training."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from miras.part import SpecError
from miras.tasks import (
    Batch,
    Evaluation,
    HeldOut,
    Objective,
    Predict,
    Rows,
    Task,
    ask,
    draw,
    generator,
    scaled,
)
from miras.tasks.ladder import decay

Length = Annotated[int, Field(ge=2, le=1_048_576)]


class Tracking(Task, ABC):
    """A state that every token changes and every position asks.

    Training lengths are uniform in shortest..longest. One set of words of the largest length tells
    all test lengths, since each prefix of a word is a word. Score: accuracy over the positions
    longest + 1 .. max(lengths), scaled from the floor. No position that counts was ever trained, so
    no scored answer can be known by heart. `accuracy/trained`, on the positions 1 .. longest, shows
    the fit. `L50` is the largest length up to which half of the words have every answer right,
    `slope` the change of the score per doubling of the length, from the trained one on. With
    `extrapolate=False` whole words of the longest trained length are judged instead: progress of
    the training, not merit.
    """

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

    @property
    @abstractmethod
    def floor(self) -> float:
        """Accuracy of a predictor that keeps no state."""

    @abstractmethod
    def sample(self, length: int, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh words of one length, of any split; every position has an answer."""

    @model_validator(mode="after")
    def _lengths_grow(self) -> "Tracking":
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
        metrics = {"accuracy/trained": trained, "floor": self.floor}
        if not extrapolate:
            return Evaluation(scaled(trained, self.floor), metrics, float(nats.mean()))
        for tested in self.lengths:
            accuracy = float(correct[:, self.longest : tested].mean())
            metrics[f"accuracy/L={tested}"] = accuracy
            metrics[f"score/L={tested}"] = scaled(accuracy, self.floor)
        scores = [metrics[f"score/L={tested}"] for tested in self.lengths]
        metrics["worst"] = min(scores)
        metrics |= decay([self.longest, *self.lengths], [scaled(trained, self.floor), *scores])
        metrics["L50"] = float((np.logical_and.accumulate(correct, 1).mean(0) >= 0.5).sum())
        return Evaluation(scores[-1], metrics, float(nats[:, self.longest :].mean()))
