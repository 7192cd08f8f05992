"""Streams: what a memory alone is shown, and how what it made of it is judged. No outer training.

A stream is a small experiment on one ability. It makes queries, keys, values and gates for
`miras.run` from a seed, may put questions to the memory between two pieces of the sequence, and
gives numbers for the answers. It never looks at which memory it is: a demonstration runs a
candidate and its controls over the same tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from miras.part import Part, SpecError, one_of

Scores = dict[str, float]
"""Numbers by name. `recall/pass=2` is a point of a curve: `recall` over the number of the pass."""


LARGEST = 1e12
"""Stands for every number that is larger or not finite: results are written as JSON."""


class Piece(NamedTuple):
    """A stretch of tokens, and what is asked after it."""

    query: Tensor  # [time, key_dim]
    key: Tensor  # [time, key_dim]
    value: Tensor  # [time, value_dim]
    gates: Mapping[str, Tensor]  # what the stream can say of a token: name -> [time]
    asked: Tensor  # [questions, key_dim]; put to the state after the piece, nothing is written


class Episode(NamedTuple):
    """One stream for one seed."""

    pieces: tuple[Piece, ...]
    truth: Mapping[str, Tensor]  # what `score` compares with


class Heard(NamedTuple):
    """What a memory made of one piece."""

    output: Tensor  # [time, value_dim], the reads of the run
    answer: Tensor  # [questions, value_dim]
    weights: Mapping[str, Tensor]  # as they are read after the piece, of the one head
    written: Tensor  # [writes], share of each token that a budget of surprise let through


class Stream(Part, ABC):
    """A source of tokens and a judge of answers.

    Contract: `episode` depends on the fields and the seed alone, shapes on the fields alone, all
    tensors are float64 on the CPU. A memory is offered the gates of the pieces under their names
    and takes those that it has; what it needs and nobody offers is an error of the demonstration.
    The docstring says where the stream comes from and what counts as works.
    """

    @abstractmethod
    def episode(self, seed: int) -> Episode:
        """Tokens, questions and truth."""

    def lesson(self, episode: Episode, heard: Sequence[Heard]) -> Tensor:
        """What a memory that has learned tensors may be trained to make small, if anything."""
        raise SpecError(
            f"stream {type(self).model_fields['kind'].default} has no lessons: leave lessons out"
        )

    @abstractmethod
    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        """Numbers for what was heard, one entry per piece of the episode."""


class Dice:
    """Random tensors of one stream and seed, whatever other streams draw."""

    def __init__(self, name: str, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(crc32(f"{name} {seed}".encode()))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def signs(self, *shape: int) -> Tensor:
        return self.normal(*shape).sign()

    def below(self, end: int, *shape: int) -> Tensor:
        return torch.randint(end, shape, generator=self.generator)

    def order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator)

    def pick(self, weights: Tensor, count: int) -> Tensor:
        """Indices with these weights, with replacement."""
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)


def length(rows: Tensor) -> Tensor:
    """The length of each row."""
    return rows.square().sum(-1).sqrt()


def unit(rows: Tensor) -> Tensor:
    """Rows of length 1."""
    return rows / length(rows)[..., None]


def cosine(answer: Tensor, wanted: Tensor) -> Tensor:
    """The cosine of each answer with what was wanted; 0 for an answer of zeros or not finite."""
    sizes = (length(answer) * length(wanted)).clamp_min(1e-12)
    return ((answer * wanted).sum(-1) / sizes).nan_to_num(0.0, 0.0, 0.0)


def piece(key: Tensor, value: Tensor, asked: Tensor | None = None, **gates: Tensor) -> Piece:
    """A piece that reads at the key it has just written."""
    return Piece(key, key, value, gates, key[:0] if asked is None else asked)


def recall(answer: Tensor, bank: Tensor, wanted: Tensor) -> float:
    """Share of answers whose nearest row of the bank is the wanted one; not finite is wrong."""
    distance = torch.cdist(answer.nan_to_num(nan=torch.inf), bank)
    return float((distance.argmin(-1) == wanted).double().mean())


def squared(answer: Tensor, wanted: Tensor) -> float:
    """Mean squared error, at most LARGEST."""
    error = float((answer - wanted).square().mean())
    return error if error < LARGEST else LARGEST


if TYPE_CHECKING:
    AnyStream = Stream
else:
    AnyStream = one_of(__name__)
