"""Optimizers: how a memory gets from one state to the next while it reads the sequence.

Four numbers that are often confused are four fields: `chunk` (gradients are taken at the weights of
the chunk's start), `every` (how often the weights that are read are refreshed), a window of past
tokens in the loss, and the segment after which a memory is reset (the last two are not here).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor

from miras.gate import AnyGate, Axis, Use, uses
from miras.gate.sigmoid import Sigmoid
from miras.part import Part, SpecError, one_of

Weights = dict[str, Tensor]


class Optimizer(Part, ABC):
    """How one token changes the memory."""

    stores_pairs: ClassVar[bool] = False  # the token is stored as it is; nothing is optimised
    quadratic_only: ClassVar[bool] = False  # closed form for a linear memory under the l2 bias
    buffers: ClassVar[tuple[str, ...]] = ()  # names of running sums, each shaped like the weights

    @abstractmethod
    def uses(self) -> list[Use]:
        """Gates of the optimizer: steps are non-negative, momentum lies in [0, 1]."""


class Stepping(Optimizer, ABC):
    """An optimizer that takes gradient steps."""

    plain: ClassVar[bool] = False  # the change is -step * gradient, whatever came before
    heavy_ball: ClassVar[bool] = False  # S <- momentum S - step * gradient, the change is S

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
        return self.chunk if self.chunk > 1 else self.every

    def uses(self) -> list[Use]:
        return uses("step", self.step_axis, self.step, "how strongly this token is written")

    def effective(self, step: Tensor, sensitivity: Tensor) -> Tensor:
        """The step that is taken, where `sensitivity` is the squared length of the key."""
        return step

    def step_formula(self, step: str, sensitivity: str) -> str:
        """`effective` in writing."""
        return step

    @abstractmethod
    def update(
        self, step_gradient: Weights, buffers: Mapping[str, Weights], gates: Mapping[str, Tensor]
    ) -> tuple[Weights, dict[str, Weights]]:
        """Change of the accumulator and new buffers from the gradient times the step."""

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        """`update` in writing: equations that end in `new = ...`.

        `change` is minus step times gradient and begins with its sign; `gates` are the names of the
        gates in formulas.
        """
        return [f"{new} = {retained} {change}"]


if TYPE_CHECKING:
    AnyOptimizer = Optimizer
else:
    AnyOptimizer = one_of(__name__)
