"""Flip-flop language: one bit, kept over any number of distractors."""

from collections.abc import Mapping
from math import log10
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.tasks import (
    IGNORE,
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
)

WRITE, READ, DISTRACT = 2, 3, 4
"""Instructions; 0 and 1 are the bits."""


class Stream(NamedTuple):
    """A kind of sequence; in YAML a list `[length, ignore]`."""

    length: Annotated[int, Field(ge=6, le=1_048_576, description="tokens, an even number")]
    ignore: Annotated[float, Field(gt=0, lt=1, description="probability of a distractor")]


class FlipFlop(Task):
    """Retention of the bit that was written last, at every read.

        w 1  i 0  i 1  r 1  i 0  w 0  ...  r 0        (the bit after r is due at the r)

    Pairs of an instruction and a bit: write, distract (a random bit), read. The first pair writes,
    the last one reads, the others distract with probability `ignore` and write or read with half
    the rest each. Trained is `trained`; `tails` are longer streams, sparse (long lags) and dense.

    Score of a kind of stream: log10(floor / error) / log10(floor / `target`), from 0 to 1: errors
    of a memory that leaks are rare, and each tenth of them counts the same. Score of the task: the
    mean over the kinds, without extrapolation of the trained one alone. `error/...` and
    `log10_error/...` are raw; no error at all counts as half an answer in `log10_error`.
    Isolates: one bit latched over long lags without leaking: a retention gate that reaches 1.
    Floor: the bit before the read, whatever its instruction; its error is about ignore / 2.

    Source: flip-flop language modeling (arXiv 2306.00946) section 3. Differs: the loss is at reads
    alone, since nothing else can be predicted. `full` has its lengths and more than 10^5 sparse
    reads.
    """

    kind: Literal["flip_flop"] = "flip_flop"
    trained: Stream = Field(default=Stream(64, 0.8), description="[length, ignore] of training")
    tails: tuple[Stream, ...] = Field(
        default=(Stream(256, 0.98), Stream(256, 0.1)),
        description="[length, ignore] that are only tested",
    )
    target: float = Field(default=1e-3, gt=0, le=0.01, description="error of a score of 1")
    steps: int = Field(default=700, ge=1, le=10_000_000, description="default training length")
    validation: int = Field(default=512, ge=1, le=1_000_000, description="sequences per kind")
    test: int = Field(default=2048, ge=1, le=1_000_000, description="sequences per kind")
    objective: ClassVar[Objective] = "selection"
    published: ClassVar[Mapping[str, Any]] = {
        "trained": Stream(512, 0.8),
        "tails": (Stream(512, 0.98), Stream(512, 0.1)),
        "steps": 10_000,
        "batch": 16,
        "test": 30_000,
    }

    @model_validator(mode="after")
    def _streams_are_possible(self) -> "FlipFlop":
        streams = (self.trained, *self.tails)
        if len(set(streams)) < len(streams):
            raise SpecError("a kind of stream is named twice in trained and tails: keep it once")
        for stream in streams:
            if stream.length % 2:
                raise SpecError(
                    f"stream {[*stream]} has an odd length: a pair takes two tokens, make it even"
                )
            if self.floor(stream) < 10 * self.target:
                raise SpecError(
                    f"stream {[*stream]} is too easy: who repeats the bit before is wrong in"
                    f" {self.floor(stream):.2g} of reads, which leaves no decade to the target"
                    f" {self.target:g}: raise its second number or lower `target`"
                )
        return self

    @property
    def vocabulary(self) -> int:
        return 5

    def floor(self, stream: Stream) -> float:
        """Error of the bit before the read: wrong half of the times that it is a distractor's."""
        inner, read = stream.length // 2 - 2, (1 - stream.ignore) / 2
        reads = inner * read + 1
        return stream.ignore / 2 * (reads - read) / reads  # the second pair follows a write

    def label(self, stream: Stream) -> str:
        """How the metrics call a kind: `p=0.8` if trained, with its length if not."""
        name = f"p={stream.ignore:g}"
        return name if stream == self.trained else f"{name},L={stream.length}"

    def sample(self, stream: Stream, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh sequences of a kind, of any split."""
        pairs = stream.length // 2
        drawn = generator.random((sequences, pairs))
        drawn[:, 0], drawn[:, -1] = stream.ignore, 1.0
        half = stream.ignore + (1 - stream.ignore) / 2
        write, read = (drawn >= stream.ignore) & (drawn < half), drawn >= half
        bit = generator.integers(0, 2, (sequences, pairs))
        place: Any = np.arange(pairs)
        latest = np.maximum.accumulate(np.where(write, place, 0), axis=1)
        bit = np.where(read, np.take_along_axis(bit, latest, 1), bit)
        tokens = np.empty((sequences, stream.length), np.int64)
        tokens[:, 0::2] = np.where(write, WRITE, np.where(read, READ, DISTRACT))
        tokens[:, 1::2] = bit
        targets = np.full_like(tokens, IGNORE)
        targets[:, 0::2] = np.where(read, bit, IGNORE)
        return tokens, targets

    def train_batch(self, generator: np.random.Generator) -> Batch:
        return draw(lambda n: self.sample(self.trained, n, generator), "train", self.batch)

    def held_out(self, stream: Stream, split: HeldOut, seed: int) -> Batch:
        """The sequences of a kind that an evaluation asks."""
        place = (stream.length, round(1e6 * stream.ignore))
        fresh = generator(self.name, split, seed, *place)
        return draw(lambda n: self.sample(stream, n, fresh), split, self.sequences(split))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        metrics: dict[str, float] = {}
        scores: list[float] = []
        nats: list[np.ndarray] = []
        for stream in (self.trained, *(self.tails if extrapolate else ())):
            answers = ask(predict, self.held_out(stream, split, seed), self.vocabulary)
            name, floor = self.label(stream), self.floor(stream)
            error = 1 - float(answers.correct.mean())
            counted = max(error, 0.5 / len(answers.correct))
            metrics |= {f"accuracy/{name}": 1 - error, f"error/{name}": error}
            metrics |= {f"log10_error/{name}": log10(counted), f"floor/{name}": floor}
            part = log10(floor / max(error, self.target)) / log10(floor / self.target)
            scores.append(max(part, 0.0))
            metrics[f"score/{name}"] = scores[-1]
            nats.append(answers.nats)
        metrics["worst"] = min(scores)
        return Evaluation(float(np.mean(scores)), metrics, float(np.concatenate(nats).mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        answers = torch.full_like(tokens, IGNORE)
        place = torch.arange(tokens.shape[1])
        latest = torch.where(tokens == WRITE, place, 0).cummax(1).values
        bit = tokens.gather(1, (latest + 1).clamp_max(tokens.shape[1] - 1))
        return bit.where(tokens == READ, answers)

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def one_bit(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.zeros_like(tokens)[scored], self.vocabulary)

        def bit_before(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(tokens.roll(1, 1)[scored], self.vocabulary)

        streams = (self.trained, *self.tails)
        return {
            "one_bit": Floor(one_bit, {f"error/{self.label(s)}": 0.5 for s in streams}),
            "bit_before": Floor(
                bit_before, {f"error/{self.label(s)}": self.floor(s) for s in streams}
            ),
        }
