"""A retention gate beside an input gate, brought to a sum of one."""

from collections.abc import MutableMapping
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Ratio(Gate):
    """g = f / (f + i), f = sigmoid(x W + b), i = sigmoid(x W' + b'): what is left is i / (f + i).

    With a step `complement` this is a pair of forget and input gate that sum to one.

    Source: minLSTM (arXiv 2410.01201), section 3.2.
    """

    kind: Literal["ratio"] = "ratio"
    bias: float = Field(default=1.0, ge=-12.0, le=12.0, description="b of f at the start")

    def formula(self) -> str:
        return "f / (f + i), f = sigmoid(x W + b), i = sigmoid(x W′ + b′)"

    def build(self, site: Site) -> nn.Module:
        return _Ratio(self, site)


class _Ratio(nn.Module):
    def __init__(self, gate: Ratio, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.forget, self.input = site.linear(), site.linear()
        nn.init.constant_(self.forget.bias, gate.bias)
        nn.init.zeros_(self.input.bias)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        # f / (f + i) = sigmoid(log f - log i), which stays finite where both vanish.
        found = F.logsigmoid(self.forget(x)) - F.logsigmoid(self.input(x))
        return found.sigmoid().reshape(*x.shape[:2], *self.shape)
