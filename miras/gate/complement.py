"""Write what was forgotten."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from miras.gate import Gate, Site, grouped
from miras.part import SpecError


class Complement(Gate):
    """g = 1 - decay: a convex mixture of the old memory and the new value.

    Source: GRU (arXiv 1406.1078); minGRU (arXiv 2410.01201).
    """

    kind: Literal["complement"] = "complement"
    derived: ClassVar[bool] = True

    @property
    def own(self) -> bool:
        return False

    def derive(self, decay: Tensor, own: Tensor | None) -> Tensor:
        return 1 - decay

    def derive_formula(self, decay: str, own: str) -> str:
        return f"1 − {grouped(decay)}"

    def formula(self) -> str:
        return "1 − decay"

    def build(self, site: Site) -> nn.Module:
        raise SpecError(
            "step complement is made from the retention gate; there is nothing to build"
        )
