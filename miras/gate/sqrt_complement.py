"""Write so that the variance of the memory stays."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from miras.gate import Gate, Site, grouped
from miras.gate.sigmoid import Sigmoid


class SqrtComplement(Gate):
    """g = sqrt(1 - decay^2) * sigmoid(x W + b): unit-variance values keep a unit-variance memory.

    Source: LRU (arXiv 2303.06349), section 3.4; the input gate is that of RG-LRU in Griffin
    (arXiv 2402.19427), equation 4.
    """

    kind: Literal["sqrt_complement"] = "sqrt_complement"
    derived: ClassVar[bool] = True

    def derive(self, decay: Tensor, own: Tensor | None) -> Tensor:
        # The floor keeps the slope of the root finite where nothing is forgotten.
        share = (1 - decay.square()).clamp_min(1e-6).sqrt()
        return share if own is None else share * own

    def derive_formula(self, decay: str, own: str) -> str:
        return f"√(1 − {grouped(decay)}²) ⊙ {own}"

    def formula(self) -> str:
        return "sigmoid(x W + b)"

    def build(self, site: Site) -> nn.Module:
        return Sigmoid().build(site)
