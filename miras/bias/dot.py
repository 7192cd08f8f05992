"""Dot-product bias: Hebbian writing."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.bias import Bias, Gates


class Dot(Bias):
    """loss = -<prediction, target>, error = -target: what is stored does not matter to the write.

    Source: MIRAS (arXiv 2504.13173), section 4.1, with -2<.,.>; the factor 2 is left to the step.
    """

    kind: Literal["dot"] = "dot"
    residual: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    coordinate_wise: ClassVar[bool] = True

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        return -(prediction * target).sum(-1)

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        return -target

    def written(self, target: Tensor, gates: Gates) -> Tensor:
        return target

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        return f"−{target}"
