"""Attentional biases: the loss that a memory minimises while it reads the sequence.

Everything downstream needs only the *error map*, the derivative of the loss by the prediction; the
gradient of the weights is its vector-Jacobian product through the memory (MIRAS, arXiv 2504.13173,
definition 3.1 and section 5.1). What the prediction is compared with (`target`) and over how many
tokens the loss is summed (`window`) is the same choice for every loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.gate import Signal, Use
from miras.part import Part, SpecError, one_of

Gates = Mapping[str, Tensor]


class Entrywise(NamedTuple):
    """`error` of one entry as an expression in C++, for kernels; see miras/kernels/rows.hpp.

    Of r, an entry of prediction - target, n2 = |prediction - target|^2, the one gate g of the bias,
    limit, and numbers p[0], p[1], ... of which there are at most four.
    """

    expression: str
    numbers: tuple[float, ...] = ()


class Bias(Part, ABC):
    """A loss between prediction and target, both `[..., value_dim]`."""

    target: Literal[
        "value", "value_minus_key", "reconstruction", "next_value", "self_generated"
    ] = Field(
        default="value",
        description="what the memory should answer to a key: its value, value - key, the key itself"
        " (reconstruction), the next token's value, or its own answer to the value",
    )
    window: int = Field(default=1, ge=1, le=4096, description="last tokens that the loss sums over")
    discount: float = Field(
        default=1.0, gt=0.0, le=1.0, description="weight of a token of the window per step back"
    )

    residual: ClassVar[bool] = True  # the error depends on prediction - target, not on target alone
    of_difference: ClassVar[bool] = True  # if residual: it depends on prediction - target alone
    linear: ClassVar[bool] = False  # the error is linear in prediction and target
    bounded: ClassVar[bool] = False  # the error is bounded whatever the residual
    coordinate_wise: ClassVar[bool] = False  # entries of the error depend on their own entry only

    @model_validator(mode="after")
    def _one_history(self) -> "Bias":
        if self.target == "next_value" and self.window > 1:
            raise SpecError(
                "target: next_value pairs each key with the token after it, window: sums over past"
                " pairs: use one of the two"
            )
        if self.discount < 1 and self.window == 1:
            raise SpecError("discount: weighs the tokens of a window: give window: 2 or more")
        return self

    @property
    def weight(self) -> float:
        """What the tokens of the window weigh together: 1 for one token."""
        return sum(self.discount**back for back in range(self.window))

    @property
    def plain(self) -> bool:
        """Whether each token is compared with a target that its own inputs give."""
        return self.window == 1 and self.target not in ("next_value", "self_generated")

    @property
    def has_loss(self) -> bool:
        """Whether the error is the gradient of `loss`."""
        return True

    @property
    def guarded(self) -> bool:
        """Whether the error must be kept below residual / (step * squared length of the key)."""
        return False

    @property
    def slope(self) -> float:
        """Steepest slope of the error where it passes through zero: 1 for squares."""
        return 1.0

    def uses(self) -> list[Use]:
        """Gates that the loss itself takes, such as a threshold."""
        return []

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        """Learned tensors that do not change along the sequence."""
        return []

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        """The loss `[...]`; a scalar gate is `[...]`."""

    @abstractmethod
    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        """d loss / d prediction, `[..., value_dim]`.

        `limit [..., 1 or value_dim]` is given to guarded biases: the largest factor by which a
        residual may be multiplied before an explicit step overshoots.
        """

    def written(self, target: Tensor, gates: Gates) -> Tensor:
        """What is written where no answer is looked at: minus the error of an answer of zero."""
        return -self.error(torch.zeros_like(target), target, gates)

    def entrywise(self) -> Entrywise | None:
        """`error` for kernels; None where plans must ask `error` itself."""
        return None

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        """`error` in writing; `gates` are the names of the gates in formulas."""
        return f"{getattr(self, 'kind', type(self).__name__)}({prediction}, {target})"


if TYPE_CHECKING:
    AnyBias = Bias
else:
    AnyBias = one_of(__name__)
