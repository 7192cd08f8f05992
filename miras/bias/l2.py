"""Squared error: the delta rule."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.bias import Bias, Gates


class L2(Bias):
    """loss = |prediction - target|^2 / 2, error = prediction - target.

    Source: MIRAS (arXiv 2504.13173), equation 9, without the 1/2; the factor 2 is left to the step.
    """

    kind: Literal["l2"] = "l2"
    linear: ClassVar[bool] = True
    coordinate_wise: ClassVar[bool] = True

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        return (prediction - target).square().sum(-1) / 2

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        return prediction - target

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        return f"{prediction} − {target}"
