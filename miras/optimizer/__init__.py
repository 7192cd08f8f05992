"""Optimizers: how a memory gets from one state to the next while it reads the sequence.

Numbers that are often confused are separate fields: `chunk` (gradients are taken at the weights of
the chunk's start), `every` (how often the weights that are read are refreshed), `batch` (tokens
whose gradients make one step together), and a window of past tokens in the loss, which belongs to
the bias. The segment after which a memory is reset belongs to the composition.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras import info
from miras.dream import AnyDream
from miras.dream.none import NoDream
from miras.gate import AnyGate, Axis, Signal, Use, uses
from miras.gate.sigmoid import Sigmoid
from miras.optimizer.ahead import Ahead
from miras.optimizer.surprise import Surprise
from miras.part import Part, SpecError, one_of
from miras.token import Buffers, Token, Weights

Write = tuple[Tensor, Tensor, Mapping[str, Tensor]]
"""Key, value and gates of one write."""


class Optimizer(Part, ABC):
    """How one token changes the memory."""

    stores_pairs: ClassVar[bool] = False  # the token is stored as it is; nothing is optimised
    takes_off: ClassVar[bool] = False  # `stored` is the value less a part of the prediction
    quadratic_only: ClassVar[bool] = False  # closed form for a linear memory under the l2 bias
    buffers: ClassVar[tuple[str, ...]] = ()  # names of running sums, each shaped like the weights

    surprise: Surprise | None = Field(
        default=None, description="write only the tokens that surprise most; left out: all"
    )

    @property
    def literal(self) -> bool:
        """Whether every token is written, once, as it comes: what fast plans take for granted."""
        return self.surprise is None

    @abstractmethod
    def uses(self) -> list[Use]:
        """Gates of the optimizer: steps are non-negative, momentum lies in [0, 1]."""

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        """Learned tensors that do not change along the sequence."""
        return []

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        """Own tensors before the first token, by names of its own.

        `weights` is the accumulator at the start, `[batch, heads, ...]` each; `key [batch, heads,
        key_dim]` (mapped) and `value [batch, heads, value_dim]` give sizes.
        """
        found: Buffers = {
            name: {leaf: torch.zeros_like(tensor) for leaf, tensor in weights.items()}
            for name in self.buffers
        }
        if self.surprise is not None:
            found["surprise"] = {"threshold": self.surprise.begin(key)}
        return found

    def choose(self, residual: Tensor, buffers: Buffers) -> tuple[Tensor | None, Buffers]:
        """How much of a token is written `[batch, heads]`; None where all of every token is.

        `residual [batch, heads, value_dim]` is what the memory missed.
        """
        if self.surprise is None:
            return None, buffers
        gate, threshold = self.surprise.choose(residual, buffers["surprise"]["threshold"])
        info.note("surprise/written", gate)
        return gate, buffers | {"surprise": {"threshold": threshold}}

    def seek(self, query: Tensor, buffers: Buffers, gates: Mapping[str, Tensor]) -> Tensor:
        """The query `[..., key_dim]` that is read with, after the write."""
        return query

    def seek_formula(self, query: str) -> str:
        """`seek` in writing."""
        return query

    def stored(self, value: Tensor, prediction: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """The value that is stored, in memories of pairs; `prediction` is that of its key."""
        return value


class Stepping(Optimizer, Ahead, ABC):
    """An optimizer that takes gradient steps."""

    associative: ClassVar[bool] = False  # it follows no gradient: key, value and address say all
    keyed: ClassVar[bool] = False  # the change depends on the key beside the gradient
    erases: ClassVar[bool] = False  # it takes predictions away by itself, whatever the bias
    sums: ClassVar[bool] = False  # weights are sums of what was written, solved when they are read
    normalises: ClassVar[bool] = False  # the length of a change is not that of the gradient
    closed_axes: ClassVar[tuple[Axis, ...]] = ("scalar",)  # steps for which a closed form is known

    of_slots: ClassVar[bool] = False  # the change of a slot depends on how many tokens mean it

    step: AnyGate = Field(default=Sigmoid(), description="step size, non-negative")
    step_axis: Axis = Field(default="scalar", description="one step per head, or per channel")
    gradient_at: Literal["retained", "previous", "anchor"] = Field(
        default="retained",
        description="weights at which the gradient is taken: after the decay of this token, before"
        " it, or those of the start of the chunk",
    )
    chunk: int = Field(default=1, ge=1, description="tokens that share an anchor")
    every: int = Field(default=1, ge=1, description="tokens between refreshes of what is read")
    scale: Literal["none", "chunk", "key_dim"] = Field(
        default="none", description="divide the step by the chunk or by the size of a mapped key"
    )
    batch: int = Field(
        default=1, ge=1, description="tokens whose gradients are summed before one step"
    )
    passes: int = Field(
        default=1, ge=1, le=64, description="times that each token, or each batch, is written"
    )
    read: Literal["after", "before"] = Field(
        default="after", description="whether a token is read after it is written or before"
    )
    shared: bool = Field(
        default=False, description="one memory for all sequences of a batch: gradients are summed"
    )
    erase: AnyGate | None = Field(
        default=None,
        description="gate on the key with which the prediction is asked: what to erase",
    )
    erase_axis: Literal["scalar", "key"] = Field(
        default="key", description="one erase gate per head, or per key channel"
    )
    write: AnyGate | None = Field(default=None, description="gate on the value that is written")
    write_axis: Literal["scalar", "value"] = Field(
        default="value", description="one write gate per head, or per value channel"
    )
    dream: AnyDream = Field(
        default=NoDream(), description="what slots do with themselves every few tokens"
    )

    @model_validator(mode="after")
    def _chunk_has_anchor(self) -> "Stepping":
        if self.chunk > 1 and self.gradient_at != "anchor":
            raise SpecError(
                f"chunk: {self.chunk} means gradients at the start of a chunk: write"
                " gradient_at: anchor, or leave chunk out"
            )
        return self

    @property
    def span(self) -> int:
        """Tokens in a row whose gradients are taken at the same weights."""
        return max(self.chunk if self.chunk > 1 else self.every, self.batch)

    @property
    def stretch(self) -> float:
        """Largest factor of the optimizer's own on a step."""
        return 1.0

    @property
    def together(self) -> int:
        """What `scale: chunk` divides by: the tokens of a chunk, or of a batch."""
        return max(self.chunk, self.batch)

    @property
    def rereads(self) -> bool:
        """Whether the pairs of a batch are kept, to be written again at the new weights."""
        return self.batch > 1 and self.passes > 1

    @property
    def literal(self) -> bool:
        """Whether each token is written once, along its key, to a memory of its own, then read."""
        plain = (self.batch, self.passes, self.read, self.shared) == (1, 1, "after", False)
        plain = plain and not self.associative and not self.dream.dreams
        return plain and (self.erase, self.write, self.surprise) == (None, None, None)

    @property
    def open(self) -> "Stepping":
        """The optimizer read after the write and without gates on address and value.

        If that is literal, such gates and the time of reading are all that is not.
        """
        if (self.erase, self.write, self.read) == (None, None, "after"):
            return self
        return self.model_copy(update={"erase": None, "write": None, "read": "after"})

    def uses(self) -> list[Use]:
        found = uses("step", self.step_axis, self.step, "how strongly this token is written")
        if self.erase is not None:
            meaning = "how much of the key is asked for what to erase"
            found += uses("erase", self.erase_axis, self.erase, meaning, high=1.0)
        if self.write is not None:
            meaning = "how much of the value is written"
            found += uses("write", self.write_axis, self.write, meaning, high=1.0)
        return found

    def writes(self, key: Tensor, value: Tensor, gates: Mapping[str, Tensor]) -> list[Write]:
        """The writes of one token, in their order."""
        return [(key, value, gates)] * (1 if self.rereads else self.passes)

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        summed = {name: torch.zeros_like(leaf) for name, leaf in weights.items()}
        return super().begin(weights, key, value) | ({"summed": summed} if self.batch > 1 else {})

    def select(
        self, gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers, Token]:
        """Gradient, buffers and token after the choice whether this token is written."""
        if self.surprise is None or token.residual is None:
            return gradient, buffers, token
        gate, buffers = self.choose(token.residual, buffers)
        assert gate is not None
        gradient = {name: broadcast(gate, leaf) * leaf for name, leaf in gradient.items()}
        sizes = {
            name: broadcast(gate, size) * size
            for name, size in token.gates.items()
            if name in ("step", "step_key", "step_value")
        }
        step, address = (
            None if x is None else broadcast(gate, x) * x for x in (token.step, token.address)
        )
        gates = {**token.gates, **sizes}
        return gradient, buffers, token._replace(gates=gates, step=step, address=address)

    def move(
        self, gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights | None, Buffers]:
        """Change of the accumulator, or None where the gradient only joins those of its batch."""
        visited: Buffers = {}
        if token.address is not None:
            visited = self.visit(buffers, (token.address > 0).to(token.address.dtype))
            buffers = buffers | visited
        if self.shared:
            gradient = {
                n: leaf.sum(0, keepdim=True).expand_as(leaf) for n, leaf in gradient.items()
            }
        if self.batch == 1:
            change, after = self.update(gradient, buffers, token)
            return change, visited | after
        gradient = {name: leaf + buffers["summed"][name] for name, leaf in gradient.items()}
        if not token.due(self.batch):
            return None, visited | {"summed": gradient}
        nothing = {name: torch.zeros_like(leaf) for name, leaf in gradient.items()}
        change, after = self.update(gradient, buffers, token)
        return change, visited | after | {"summed": nothing}

    def visit(self, buffers: Buffers, reads: Tensor) -> Buffers:
        """Bookkeeping of which slots were written: how many tokens mean each `[..., slots]`."""
        return {}

    def rest(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        """The accumulator after a while without input: what happens between two tokens."""
        if self.dream.due(token.position):
            weights = weights | {"slots": self.dream.dreamt(weights["slots"], token.gates)}
        return weights, buffers

    def effective(self, step: Tensor, sensitivity: Tensor) -> Tensor:
        """The step that is taken, where `sensitivity` is the squared length of the key."""
        return step

    def step_formula(self, step: str, sensitivity: str) -> str:
        """`effective` in writing."""
        return step

    @abstractmethod
    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        """Change of the accumulator and new buffers from the gradient times the step."""

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        """`update` in writing: equations that end in `new = ...`.

        `change` is minus step times gradient and begins with its sign; `gates` are the names of the
        gates in formulas.
        """
        return [f"{new} = {retained} {change}"]


def one_step(optimizer: Stepping, token: Token) -> Tensor:
    """The step of a token, where it must be one number per head `[batch, heads]`."""
    if token.step is None:
        name = getattr(optimizer, "kind", type(optimizer).__name__)
        raise SpecError(f"optimizer {name} takes one step per head: use step_axis scalar")
    return token.step


def broadcast(gate: Tensor, leaf: Tensor) -> Tensor:
    """A gate `[...]` with the axes that it needs to multiply a leaf `[..., *shape]`."""
    return gate.reshape(*gate.shape, *[1] * (leaf.ndim - gate.ndim))


if TYPE_CHECKING:
    AnyOptimizer = Optimizer
else:
    AnyOptimizer = one_of(__name__)
