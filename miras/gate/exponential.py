"""A gate that can grow by orders of magnitude."""

import math
from collections.abc import MutableMapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Exponential(Gate):
    """g = exp(c tanh((x W + b) / c)): an exponential whose exponent is softly kept within c.

    A token of great weight can outvote all before it. The cap keeps float32 finite without a
    running maximum of exponents.

    Source: xLSTM (arXiv 2405.04517), section 2.2; the soft cap of 15 is that of xLSTM 7B (arXiv
    2503.13427).
    """

    kind: Literal["exponential"] = "exponential"
    bias: float = Field(default=0.0, ge=-12.0, le=12.0, description="b at the start")
    cap: float = Field(default=15.0, gt=0.0, le=30.0, description="largest exponent")

    def ceiling(self, high: float) -> float:
        return math.exp(self.cap)

    def formula(self) -> str:
        return f"exp({self.cap:g} tanh((x W + b) / {self.cap:g})), b = {self.bias:g} at the start"

    def build(self, site: Site) -> nn.Module:
        return _Exponential(self, site)


class _Exponential(nn.Module):
    def __init__(self, gate: Exponential, site: Site) -> None:
        super().__init__()
        self.shape, self.cap = site.shape, gate.cap
        self.linear = site.linear()
        nn.init.constant_(self.linear.bias, gate.bias)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        exponent = self.cap * torch.tanh(self.linear(x) / self.cap)
        return exponent.exp().reshape(*x.shape[:2], *self.shape)
