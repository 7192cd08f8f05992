"""Absolute error."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Entrywise, Gates


class L1(Bias):
    """loss = sum_j sqrt(r_j^2 + s), error_j = r_j / sqrt(r_j^2 + s), r = prediction - target.

    The smooth sign: the memory sees only in which direction it is wrong. Near the target its slope
    is 1/sqrt(s), so a step above 2 sqrt(s) / |key|^2 oscillates there (rule T16 of docs/rules.md).

    Source: MIRAS (arXiv 2504.13173), equation 12 ("value-less" memory), which smooths with
    tanh(10 r); the slope at zero is the same at the default s = 0.01.
    """

    kind: Literal["l1"] = "l1"
    smoothing: float = Field(default=0.01, gt=0.0, le=1.0, description="s, in squared value units")
    bounded: ClassVar[bool] = True
    coordinate_wise: ClassVar[bool] = True

    @property
    def slope(self) -> float:
        return self.smoothing**-0.5

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        return ((prediction - target).square() + self.smoothing).sqrt().sum(-1)

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        residual = prediction - target
        return residual / (residual.square() + self.smoothing).sqrt()

    def entrywise(self) -> Entrywise:
        return Entrywise("r / root(r * r + p[0])", (self.smoothing,))

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        return f"r / √(r² + {self.smoothing:g}), r = {prediction} − {target}"
