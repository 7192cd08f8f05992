"""Write so that the variance of the memory stays."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site, grouped
from miras.gate.sigmoid import Sigmoid


class SqrtComplement(Gate):
    """g = sqrt(1 - decay^2) * sigmoid(x W + b), or, if not `gated`, the root alone.

    Values of unit variance keep a memory of unit variance.

    Source: LRU (arXiv 2303.06349), section 3.4; the input gate is that of RG-LRU in Griffin
    (arXiv 2402.19427), equation 4.
    """

    kind: Literal["sqrt_complement"] = "sqrt_complement"
    gated: bool = Field(default=True, description="with the input gate, or the root alone (LRU)")
    derived: ClassVar[bool] = True

    @property
    def own(self) -> bool:
        return self.gated

    def derive(self, decay: Tensor, own: Tensor | None) -> Tensor:
        # The floor keeps the slope of the root finite where nothing is forgotten.
        share = (1 - decay.square()).clamp_min(1e-6).sqrt()
        return share if own is None else share * own

    def derive_formula(self, decay: str, own: str) -> str:
        root = f"√(1 − {grouped(decay)}²)"
        return f"{root} ⊙ {own}" if self.gated else root

    def formula(self) -> str:
        return "sigmoid(x W + b)"

    def build(self, site: Site) -> nn.Module:
        return Sigmoid().build(site)
