"""A squashed linear function of the input."""

from collections.abc import MutableMapping
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Sigmoid(Gate):
    """g = scale * sigmoid(x W + b), b = `bias` at the start.

    `scale: 2` on the step of a delta rule allows eigenvalues down to -1. As a retention gate use a
    bias of 4 or so, which keeps 98 % at the start.

    Source: DeltaNet (arXiv 2406.06484); negative eigenvalues arXiv 2411.12537; Titans
    (arXiv 2501.00663) for decay, momentum and step.
    """

    kind: Literal["sigmoid"] = "sigmoid"
    scale: float = Field(default=1.0, gt=0.0, le=10.0, description="the largest value")
    bias: float = Field(default=0.0, ge=-12.0, le=12.0, description="b at the start")

    def ceiling(self, high: float) -> float:
        return self.scale

    def formula(self) -> str:
        factor = "" if self.scale == 1 else f"{self.scale:g} "
        start = "" if self.bias == 0 else f", b = {self.bias:g} at the start"
        return f"{factor}sigmoid(x W + b){start}"

    def build(self, site: Site) -> nn.Module:
        return _Sigmoid(self, site)


class _Sigmoid(nn.Module):
    def __init__(self, gate: Sigmoid, site: Site) -> None:
        super().__init__()
        self.scale, self.shape = gate.scale, site.shape
        self.linear = site.linear()
        nn.init.constant_(self.linear.bias, gate.bias)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return self.scale * self.linear(x).sigmoid().unflatten(-1, self.shape)
