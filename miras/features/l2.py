"""Keys and queries of unit length."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.features import Features
from miras.fused import unit_norm


class UnitNorm(Features):
    """phi(x) = x / |x|.

    Source: DeltaNet (arXiv 2406.06484), section 3.3: a unit key makes I - beta k k^T a contraction
    for beta in [0, 2].
    """

    kind: Literal["l2"] = "l2"
    unit_norm: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return unit_norm(query), unit_norm(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"{query} / ‖{query}‖", f"{key} / ‖{key}‖"
