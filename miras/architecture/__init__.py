"""Architectures: what a memory is.

Weights are a dict of leaves; every function takes them with any leading dimensions (batch, heads,
...). A leaf names its axes: decay and step act along `key`, `value`, or on everything.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from miras.architecture.network import Network
from miras.architecture.written import Written
from miras.architecture.written import diagonal as diagonal
from miras.features import AnyFeatures
from miras.features.identity import Identity
from miras.gate import Axis, Signal, Use
from miras.part import one_of
from miras.token import Token

Product = Callable[[Tensor], Tensor]
"""A matrix as what it does to a vector: plans hand in matrices that they never write out."""

if TYPE_CHECKING:
    Weights = dict[str, Tensor]
else:  # architectures that are `factored` give their matrices to `apply`, which takes both
    Weights = dict[str, Tensor | Product]
Gates = Mapping[str, Tensor]
Pull = Callable[[Tensor], "Weights"]
"""From an error `[..., value_dim]` to the gradient of the weights."""


class Leaf(NamedTuple):
    """One tensor of the weights of one head."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]  # `key`, `value` or `hidden`, one per dimension
    std: float  # standard deviation of the initial weights; 0 starts at zero
    nonnegative: bool = False  # a sum of weights, which is never below zero
    learned: bool = True  # a layer trains where it starts
    uniform: bool = False  # initial weights are uniform, not normal


class Architecture(Written, ABC):
    """What is stored and how it answers a query."""

    features: AnyFeatures = Identity()

    backwards: ClassVar[bool] = False  # it is read with what it predicts, and answers with a key
    linear: ClassVar[bool] = False  # the prediction is linear in the weights and in the key
    keyed: ClassVar[bool] = True  # it looks at query and key at all
    stores_pairs: ClassVar[bool] = False  # it keeps keys and values themselves
    factored: ClassVar[bool] = False  # leaves are vectors, or matrices used in one `apply` each
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar"})
    together: ClassVar[bool] = False  # many keys may ask weights `[..., 1, ...]` at once
    symbol: ClassVar[str] = "W"  # what the weights are called in formulas
    autoassociative: ClassVar[bool] = False  # a slot is key and value at once: one size
    averages: ClassVar[bool] = False  # the prediction is divided by how much of the key was seen

    @property
    def plain(self) -> bool:
        """Whether `carry`, `aim`, `local`, `let_out`, `address` and `trace` do nothing.

        And whether `target` is the value, and steps scale all weights alike.
        """
        return True

    @property
    def of_tokens(self) -> bool:
        """Whether `aim`, `local` and turning `carry` say all that is not plain.

        They look at a token and at nothing else, so that they can do so for many at once.
        """
        return self.plain

    @property
    def turns(self) -> bool:
        """Whether `carry` turns the stored keys by the gate `rotation`."""
        return False

    @property
    def matrices(self) -> bool:
        """Whether every leaf is a matrix, as links that normalise rows or columns need."""
        return False

    @property
    def affine(self) -> bool:
        """Whether the derivative of a prediction by the weights is the same at all weights."""
        return self.linear

    @property
    def bounded_prediction(self) -> bool:
        """Whether predictions stay bounded however large the weights grow."""
        return False

    @property
    def normalised(self) -> bool:
        """Whether a read is divided by the summed weight of what was written."""
        return False

    @property
    def network(self) -> Network | None:
        """Layers, where `predict` and `read` are those of a network and nothing else."""
        return None

    @property
    def recurrent(self) -> bool:
        """Whether a write depends on the previous output in another way than through gates."""
        return False

    @property
    def sees_itself(self) -> bool:
        """Whether `local` adds something of the token to its own read."""
        return False

    @property
    def slots(self) -> int:
        """Places that a token may be written to, in memories that have such."""
        return 0

    @property
    def tables(self) -> bool:
        """Whether tokens say by themselves which slots they write, and products how slots answer.

        Then weights are tables with a row per slot, `written` and `weighed` say all.
        """
        return False

    @property
    def lookups(self) -> int:
        """Addresses that a token has at once, in memories that have slots."""
        return 1

    @property
    def balances(self) -> bool:
        """Whether it has an objective of its own over the keys of a batch: `crowding`."""
        return False

    def allowed_axes(self) -> frozenset[Axis]:
        """Axes along which decay and step may act."""
        return self.axes

    def uses(self) -> list[Use]:
        """Gates of the architecture itself."""
        return []

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        """Learned tensors that do not change along the sequence."""
        return []

    @abstractmethod
    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        """The weights of one head; `key_dim` is the size of a mapped key."""

    def carry(self, weights: Weights, gates: Gates) -> Weights:
        """What time alone makes of the weights, before they decay: a rotation."""
        return weights

    def candidate(self, value: Tensor, gates: Gates, output: Tensor) -> Tensor:
        """What is to be stored `[..., value_dim]`, from the value and the previous output."""
        return value

    @abstractmethod
    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        """Prediction `[..., value_dim]` for a mapped key `[..., key_dim]`."""

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        """Answer `[..., value_dim]` to a mapped query."""
        return self.predict(weights, query, gates)

    def respond(self, weights: Weights, key: Tensor, gates: Gates) -> tuple[Tensor, Pull]:
        """The prediction, and the map from an error in it to the gradient of the weights."""

        def predict(at: Weights) -> Tensor:
            return self.predict(at, key, gates)

        prediction, pull = cast(tuple[Tensor, Any], torch.func.vjp(predict, weights))
        return prediction, lambda error: pull(error)[0]

    def target(self, key: Tensor, value: Tensor) -> Tensor:
        """What a prediction is compared with, of the size of a prediction."""
        return value

    def aim(self, query: Tensor, key: Tensor, gates: Gates) -> Tensor:
        """The query `[..., key_dim]` that is read with."""
        return query

    def local(self, query: Tensor, key: Tensor, value: Tensor, gates: Gates) -> Tensor | None:
        """What the token itself adds to its read `[..., value_dim]`, past the weights."""
        return None

    def let_out(self, read: Tensor, gates: Gates) -> Tensor:
        """The answer `[..., value_dim]` from what was read and what the token added to it."""
        return read

    def divide(self, read: Tensor) -> Tensor:
        """A read `[..., value_dim + 1]` of a normalised memory by its last entry."""
        return read[..., :-1] / (read[..., -1:] + 1e-6)

    def divide_formula(self, read: str, total: str) -> str:
        """`divide` in writing."""
        return f"{read} / ({total} + 1e-6)"

    def address(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor | None:
        """How strongly a key means each slot `[..., slots]`, in memories that have slots."""
        return None

    def counts(self, weights: Weights, keys: Tensor, gates: Gates) -> Tensor | None:
        """How many of the keys `[..., tokens, key_dim]` mean each slot at all `[..., slots]`."""
        address = self.address({n: leaf.unsqueeze(2) for n, leaf in weights.items()}, keys, gates)
        return None if address is None else (address > 0).to(address.dtype).sum(-2)

    def crowding(self, weights: Weights, keys: Tensor, shared: bool) -> Weights:
        """Gradient of the architecture's own objective over keys `[..., tokens, key_dim]`.

        Of the leaves that it changes; `shared` keys of all sequences count together.
        """
        return {}

    def allot(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor | None:
        """Where an associative optimizer writes a token of this key `[..., lookups, slots]`."""
        address = self.address(weights, key, gates)
        return None if address is None else address[..., None, :]

    def trace(self, weights: Weights, token: Token) -> Weights:
        """The weights after the token was read: reading may leave traces."""
        return weights

    def store(self, weights: Weights, key: Tensor, value: Tensor) -> Weights:
        """A memory of pairs with one more pair."""
        raise NotImplementedError(f"{type(self).__name__} keeps no pairs")

    def admit(self, weights: Weights, gate: Tensor) -> Weights:
        """A memory of pairs with a gate `[...]` on its newest pair; gone where the gate is 0."""
        raise NotImplementedError(f"{type(self).__name__} keeps no pairs")

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        """How much a unit step along the error moves the prediction `[...]`: |key|^2 if linear."""
        return key.square().sum(-1)

    def scale(self, weights: Weights, multipliers: Mapping[str, Tensor]) -> Weights:
        """Weights times multipliers: `""` is `[...]`, `key` and `value` are `[..., dim]`."""
        leaves = self.leaves(1, 1)
        return {
            name: _scale(leaf, leaves[name].axes, multipliers) for name, leaf in weights.items()
        }

    def stepped(self, gradient: Weights, steps: Mapping[str, Tensor]) -> Weights:
        """The gradient times the steps, by axis as in `scale`."""
        return self.scale(gradient, steps)

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        """Multiply-adds of one prediction of one head; of a memory of pairs, per pair."""
        return sum(prod(leaf.shape) for leaf in self.leaves(key_dim, value_dim).values())

    def gradient_products(self, key_dim: int, value_dim: int) -> int:
        """Multiply-adds from the error of one head to the changed weights."""
        return sum(prod(leaf.shape) for leaf in self.leaves(key_dim, value_dim).values())


def _scale(leaf: Tensor, axes: tuple[str, ...], multipliers: Mapping[str, Tensor]) -> Tensor:
    for along, factor in multipliers.items():
        if along == "":
            leaf = leaf * factor.reshape(*factor.shape, *[1] * len(axes))
        elif along in axes:
            shape = [1] * len(axes)
            shape[axes.index(along)] = factor.shape[-1]
            leaf = leaf * factor.reshape(*factor.shape[:-1], *shape)
    return leaf


def apply(matrix: Tensor | Product, vector: Tensor) -> Tensor:
    """matrix @ vector with any leading dimensions: `[..., rows, columns]`, `[..., columns]`."""
    if not isinstance(matrix, Tensor):
        return matrix(vector)
    return torch.einsum("...rc,...c->...r", matrix, vector)


def turned(x: Tensor, share: Tensor) -> Tensor:
    """Pairs of entries (i, i + d / 2) of x `[..., d]`, rotated by the angles pi (2 share - 1).

    `share [..., d / 2]` lies in [0, 1]; a half turns nothing. An odd last entry stays.
    """
    half = x.shape[-1] // 2
    angle = torch.pi * (2 * share[..., :half] - 1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    pair = (first * cosine - second * sine, first * sine + second * cosine, rest)
    return torch.cat(pair, dim=-1)


if TYPE_CHECKING:
    AnyArchitecture = Architecture
else:
    AnyArchitecture = one_of(__name__)
