"""Proxy tasks: small problems that each ask one ability of a memory, scored from floor to ceiling.

A score is 0 for the strongest predictor that needs no memory of the asked kind and 1 for a perfect
one. Tensors are on the CPU; a `Predict` moves them where its model is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import Part, SpecError, one_of

Kind = TypeVar("Kind", bound="Task")

IGNORE = -100
"""Target of a position that is not scored."""

Split = Literal["train", "validation", "test"]
HeldOut = Literal["validation", "test"]
Objective = Literal["recall", "selection", "tracking", "language"]

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Tokens and targets, both `[sequences, time]`, as a generator of a task makes them."""

Predict = Callable[
    [Int64[Tensor, "batch time"], Bool[Tensor, "batch time"]], Float[Tensor, "scored vocabulary"]
]
"""Tokens and the mask of scored positions -> logits of `tokens[mask]`, in that order."""

TOKENS_PER_CALL = 16_384
"""An evaluation hands `Predict` at most so many tokens at once: its memory stays bounded."""


class Batch(NamedTuple):
    """`targets[b, t]` is to be predicted at position t from `tokens[b, : t + 1]`, or IGNORE."""

    tokens: Int64[Tensor, "batch time"]
    targets: Int64[Tensor, "batch time"]


class Answers(NamedTuple):
    """What a predictor said at the scored positions, row by row."""

    correct: Bool[np.ndarray, " scored"]
    nats: Float[np.ndarray, " scored"]
    said: Int64[np.ndarray, " scored"]  # the most likely id


class Evaluation(NamedTuple):
    """How good a predictor is."""

    score: float  # 0 = floor, 1 = ceiling
    metrics: dict[str, float]  # raw numbers, per rung: "accuracy/K=8"
    loss: float  # nats per scored token


class Floor(NamedTuple):
    """A predictor without the asked ability, and the metrics that it reaches."""

    predict: Predict
    stated: dict[str, float]


class Task(Part, ABC):
    """A source of sequences with answers, and a judge of predictors.

    All randomness comes from (kind of task, split, seed): neither other tasks nor the model, nor
    the order in which things are made, can change the data. Inside a batch all sequences have the
    same length: a batch draws *one* rung of difficulty, so that nothing is spent on padding and
    each rung gets the same number of steps.
    """

    steps: int = Field(default=900, ge=1, le=10_000_000, description="default training length")
    batch: int = Field(default=64, ge=1, le=65_536, description="sequences per training step")
    validation: int = Field(default=128, ge=1, le=1_000_000, description="sequences per rung")
    test: int = Field(default=768, ge=1, le=1_000_000, description="sequences per rung")
    objective: ClassVar[Objective]
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Values of fields in the setting of the source, where they are not the defaults."""

    @property
    def name(self) -> str:
        """The kind, as in YAML."""
        return str(type(self).model_fields["kind"].default)

    def full(self: Kind) -> Kind:
        """The task at the size of its source; defaults are for minutes on a processor.

        What the source does not name stays as it is here.
        """
        return type(self).model_validate({**self.model_dump(), **self.published})

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of token ids; inputs and answers share them."""

    @abstractmethod
    def train_batch(self, generator: np.random.Generator) -> Batch:
        """Fresh training sequences `[batch, time]` of one rung; the time differs between rungs."""

    def train_stream(self, seed: int, start: int = 0) -> Iterator[Batch]:
        """The training batches of a seed, from batch number `start` on; it never ends.

        Each batch has a generator of its own: a run that was interrupted goes on at its step.
        """
        for number in count(start):
            yield self.train_batch(generator(self.name, "train", seed, number))

    @abstractmethod
    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        """Judge a predictor on sequences that no training stream contains.

        `extrapolate=False` leaves out everything longer than the training sequences.
        """

    @abstractmethod
    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"] | None:
        """The exact answers, IGNORE where nothing is asked; None if no exact solver exists."""

    @abstractmethod
    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        """Predictors that bound the score from below, with the metrics they are stated to reach."""

    def sequences(self, split: HeldOut) -> int:
        """Sequences that an evaluation looks at, per rung."""
        return self.validation if split == "validation" else self.test


def generator(task: str, split: Split, seed: int, *place: int) -> np.random.Generator:
    """An independent stream for each (task, split, seed, place), whatever was drawn before."""
    splits: tuple[Split, ...] = ("train", "validation", "test")
    key = (crc32(task.encode()), splits.index(split), *place)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def split_of(tokens: Int64[np.ndarray, "sequences time"]) -> Int64[np.ndarray, " sequences"]:
    """The split that each sequence belongs to by its hash: 0 test, 1 validation, 2..7 train."""
    time = tokens.shape[1]
    odd: NDArray[np.uint64] = (
        2 * np.random.default_rng(time).integers(0, 2**63, time, np.uint64) + 1
    )
    mixed: NDArray[np.uint64] = (tokens.astype(np.uint64) + 1) @ odd
    # The lowest bit of the sum is the parity of the sequence: only the high bits may decide.
    mixed ^= mixed >> 29
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> 61).astype(np.int64)


def draw(
    sample: Callable[[int], Rows],
    split: Split,
    sequences: int,
    owner: Callable[[NDArray[np.int64]], NDArray[np.int64]] = split_of,
) -> Batch:
    """`sequences` fresh sequences of a split.

    `sample(n)` makes n sequences; those that belong to another split by their hash are dropped.
    So the splits of a task are disjoint for all seeds, however few different sequences there are.
    `owner` takes the hash of something else than the whole sequence, to split by that.
    """
    share = {"train": 6 / 8, "validation": 1 / 8, "test": 1 / 8}[split]
    kept: list[Rows] = []
    missing = sequences
    while missing:
        tokens, targets = sample(int(missing / share * 1.1) + 8)
        part = owner(tokens)
        mine = part >= 2 if split == "train" else part == (split == "validation")
        kept.append((tokens[mine][:missing], targets[mine][:missing]))
        missing -= len(kept[-1][0])
        if len(kept) > 64:
            raise SpecError(
                f"there are too few different sequences of {tokens.shape[1]} tokens to keep some"
                f" for the {split} split: make the sequences longer or the alphabet larger"
            )
    tokens, targets = (np.concatenate(part) for part in zip(*kept, strict=True))
    return Batch(torch.as_tensor(tokens), torch.as_tensor(targets))


def ask(predict: Predict, batch: Batch, vocabulary: int) -> Answers:
    """Put the scored positions of a batch to a predictor, piece by piece."""
    correct: list[NDArray[np.bool_]] = []
    nats: list[NDArray[np.float64]] = []
    said: list[NDArray[np.int64]] = []
    for few, logits in asked(predict, batch, vocabulary):
        wanted = few.targets[few.targets != IGNORE].to(logits.device)
        best = logits.argmax(-1)
        said.append(best.cpu().numpy())
        correct.append((best == wanted).cpu().numpy())
        losses = F.cross_entropy(logits.float(), wanted, reduction="none")
        nats.append(losses.double().cpu().numpy())
    return Answers(np.concatenate(correct), np.concatenate(nats), np.concatenate(said))


def asked(
    predict: Predict, batch: Batch, vocabulary: int
) -> Iterator[tuple[Batch, Float[Tensor, "scored vocabulary"]]]:
    """Pieces of a batch, in order, with the predictor's logits at their scored positions."""
    rows = max(1, TOKENS_PER_CALL // batch.tokens.shape[1])
    for start in range(0, len(batch.tokens), rows):
        tokens, targets = (part[start : start + rows] for part in batch)
        scored = targets != IGNORE
        with torch.no_grad():
            logits = predict(tokens, scored)
        if logits.shape != (wanted := (int(scored.sum()), vocabulary)):
            raise ValueError(
                f"the predictor gave {tuple(logits.shape)}, needed are logits {wanted}: one row"
                " per scored position, one per token id"
            )
        yield Batch(tokens, targets), logits


def scaled(accuracy: float, floor: float) -> float:
    """0 at the floor, 1 at a perfect accuracy."""
    return min(max((accuracy - floor) / (1 - floor), 0.0), 1.0)


def certain(answers: Int64[Tensor, " scored"], vocabulary: int) -> Float[Tensor, "scored vocab"]:
    """Logits of a predictor that is sure of its answers."""
    return torch.zeros(len(answers), vocabulary).scatter_(1, answers[:, None], 100.0)


def always(answer: int, vocabulary: int) -> Predict:
    """A predictor that gives one id everywhere."""

    def predict(
        tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "scored vocabulary"]:
        return certain(torch.full_like(tokens, answer)[scored], vocabulary)

    return predict


def latest(first: int, last: int, vocabulary: int) -> Predict:
    """A predictor that gives the last id seen that is not below `first` and is below `last`."""

    def predict(
        tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "scored vocabulary"]:
        meant = (tokens >= first) & (tokens < last)
        place = torch.arange(tokens.shape[1]).where(meant, 0).cummax(1).values
        return certain(tokens.gather(1, place)[scored], vocabulary)

    return predict


def distinct(
    generator: np.random.Generator, sequences: int, among: int, wanted: int
) -> Int64[np.ndarray, "sequences wanted"]:
    """Draw `wanted` different numbers below `among` for each sequence, in random order.

    Floyd's algorithm on all sequences at once: the cost does not grow with `among`.
    """
    chosen = np.empty((sequences, wanted), np.int64)
    for place, top in enumerate(range(among - wanted, among)):
        number = generator.integers(0, top + 1, sequences)
        taken = (chosen[:, :place] == number[:, None]).any(1)
        chosen[:, place] = np.where(taken, top, number)
    return generator.permuted(chosen, axis=1)


if TYPE_CHECKING:
    AnyTask = Task
else:
    AnyTask = one_of(__name__)
