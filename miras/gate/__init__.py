"""Gates: the numbers that say, token by token, how strongly a memory writes, forgets, remembers.

A memory names the gates that it takes (`Use`); a `Gate` is one way to make such a number from the
layer's input. To the operator a gate is a tensor `[batch, time, heads]` or `[batch, time, heads,
width]`, whoever made it. Three kinds of gate are part of the memory's meaning, not only of the
layer: a *fixed* one is a number, a *derived* one is a function of the retention gate at the same
place (GRU: write what was forgotten), a *recurrent* one also sees the memory's previous output.
"""

import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from miras.part import Part, one_of

Axis = Literal["scalar", "key", "value", "both", "slot"]
Width = Literal["", "key", "value", "slot", "pair", "address", "place", "unmapped"]


class Site(NamedTuple):
    """Where a gate is to be built in a model."""

    name: str
    dim: int  # width of the layer's input
    heads: int
    width: int  # numbers per head and token; 0 means one without a trailing axis
    low: float  # the gate must stay within [low, high]
    high: float
    layer: int = 0  # index of the layer, counted from 0
    layers: int = 1
    chunk: int = 1  # gradient chunk of the memory

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the gate of one token."""
        return (self.heads, self.width) if self.width else (self.heads,)

    @property
    def size(self) -> int:
        """Numbers per token."""
        return math.prod(self.shape)

    def linear(self) -> nn.Linear:
        """A projection of the layer's input to the gate."""
        return nn.Linear(self.dim, self.size)


class Gate(Part, ABC):
    """One way to make a gate."""

    recurrent: ClassVar[bool] = False
    derived: ClassVar[bool] = False
    sees_input: ClassVar[bool] = True  # the number differs from token to token
    signed: ClassVar[bool] = False  # the number may be negative
    counts_chunk: ClassVar[bool] = False  # it depends on the place in the gradient chunk

    @property
    def fixed(self) -> float | None:
        """The number that this gate always is, if it is one and is not learned."""
        return None

    @property
    def own(self) -> bool:
        """Whether the operator takes a tensor for it."""
        return self.fixed is None

    def ceiling(self, high: float) -> float:
        """The largest number that this gate can become at a place that allows up to `high`."""
        return 1.0

    def activate(self, seen: Tensor) -> Tensor:
        """The gate from input and previous output; for recurrent gates only."""
        return torch.sigmoid(seen)

    def derive(self, decay: Tensor, own: Tensor | None) -> Tensor:
        """The gate from the retention gate of the same place; for derived gates only."""
        raise NotImplementedError(f"{type(self).__name__} is not derived from another gate")

    def formula(self) -> str:
        """How the number is made, from the layer's input x."""
        return f"{getattr(self, 'kind', type(self).__name__)} of x"

    def derive_formula(self, decay: str, own: str) -> str:
        """`derive` in writing, for derived gates only."""
        return f"{getattr(self, 'kind', type(self).__name__)}({decay}, {own})"

    @abstractmethod
    def build(self, site: Site) -> nn.Module:
        """A module from `(x [batch, time, dim], shared)` to `[batch, time, heads(, width)]`.

        `shared` is a dict that the gates of one layer pass on: Mamba's decay leaves its `timescale`
        there, and `position`, the index of each token, stands there from the start.
        """


class Use(NamedTuple):
    """A gate that a part of a memory uses."""

    name: str
    width: Width
    gate: Gate
    low: float
    high: float
    meaning: str


def uses(
    role: str, axis: Axis, gate: Gate, meaning: str, low: float = 0.0, high: float = math.inf
) -> list[Use]:
    """The uses of one gate along an axis: `decay`, `decay_key`, `decay_slot`, or two of them."""
    widths: dict[Axis, tuple[Width, ...]] = {
        "scalar": ("",),
        "key": ("key",),
        "value": ("value",),
        "both": ("key", "value"),
        "slot": ("slot",),
    }
    return [
        Use(f"{role}_{width}" if width else role, width, gate, low, high, meaning)
        for width in widths[axis]
    ]


def grouped(formula: str) -> str:
    """A formula as a factor: in brackets if it is a sum, a difference or a quotient."""
    outside, before = formula, ""
    while outside != before:
        outside, before = re.sub(r"\([^()]*\)", "", outside), outside
    return f"({formula})" if re.search(r" [−+/] ", outside) else formula


class Signal(NamedTuple):
    """A tensor that the operator takes beside query, key and value.

    `shape` is the shape without batch and time; `per_token` says whether those lead it. Values lie
    in `[low, high]`. A layer draws a constant from N(mean, std^2) before it is trained.
    """

    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    per_token: bool
    meaning: str
    mean: float = 0.0
    std: float = 0.0


if TYPE_CHECKING:
    AnyGate = Gate
else:
    AnyGate = one_of(__name__)
