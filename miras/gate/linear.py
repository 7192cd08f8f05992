"""A number of any sign."""

from collections.abc import MutableMapping
from math import inf
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Linear(Gate):
    """g = x W + b, b = `bias` at the start: for places that take any number, such as a reward.

    Source: the third factor of three-factor learning rules (arXiv 1801.05219) has both signs; as a
    projection of keys and values, linear attention (arXiv 2006.16236).
    """

    kind: Literal["linear"] = "linear"
    bias: float = Field(default=0.0, ge=-12.0, le=12.0, description="b at the start")
    signed: ClassVar[bool] = True

    def ceiling(self, high: float) -> float:
        return inf

    def formula(self) -> str:
        return "x W + b" + (f", b = {self.bias:g} at the start" if self.bias else "")

    def build(self, site: Site) -> nn.Module:
        return _Linear(self, site)


class _Linear(nn.Module):
    def __init__(self, gate: Linear, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.linear = site.linear()
        nn.init.constant_(self.linear.bias, gate.bias)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return self.linear(x).unflatten(-1, self.shape)
