"""SiLU, then unit length."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.features import Features
from miras.fused import unit_norm


class SiluUnitNorm(Features):
    """phi(x) = silu(x) / |silu(x)|.

    Source: DeltaNet (arXiv 2406.06484), section 3.3; Gated DeltaNet (arXiv 2412.06464).
    """

    kind: Literal["silu_l2"] = "silu_l2"
    unit_norm: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return unit_norm(query, silu=True), unit_norm(key, silu=True)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"silu({query}) / ‖silu({query})‖", f"silu({key}) / ‖silu({key})‖"
