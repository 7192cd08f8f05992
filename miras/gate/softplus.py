"""A positive step without upper bound."""

import math
from collections.abc import MutableMapping
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Softplus(Gate):
    """g = softplus(x W + b), equal to `start` for x = 0.

    Source: LaCT (arXiv 2505.23884), start = 0.001.
    """

    kind: Literal["softplus"] = "softplus"
    start: float = Field(default=0.001, gt=0.0, le=10.0)

    def ceiling(self, high: float) -> float:
        return math.inf

    def formula(self) -> str:
        return f"softplus(x W + b), {self.start:g} at x = 0"

    def build(self, site: Site) -> nn.Module:
        return _Softplus(self, site)


class _Softplus(nn.Module):
    def __init__(self, gate: Softplus, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.linear = site.linear()
        nn.init.constant_(self.linear.bias, math.log(math.expm1(gate.start)))

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return F.softplus(self.linear(x).unflatten(-1, self.shape))
