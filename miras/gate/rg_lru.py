"""The retention of the real-gated linear recurrent unit."""

from collections.abc import MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class RealGated(Gate):
    """g = a^(sharpness * r), r = sigmoid(x W + b), a = sigmoid(learned) per head and channel.

    a^sharpness is uniform in [0.9, 0.999] at the start.

    Source: Griffin (arXiv 2402.19427), equations 3 and 6 and appendix A, sharpness 8. Differs: W is
    dense where Griffin's is block-diagonal.
    """

    kind: Literal["rg_lru"] = "rg_lru"
    sharpness: float = Field(default=8.0, gt=0.0, le=32.0)

    def formula(self) -> str:
        return f"a^({self.sharpness:g} r), r = sigmoid(x W + b), a learned"

    def build(self, site: Site) -> nn.Module:
        return _RealGated(self, site)


class _RealGated(nn.Module):
    def __init__(self, gate: RealGated, site: Site) -> None:
        super().__init__()
        self.sharpness, self.shape = gate.sharpness, site.shape
        self.linear = site.linear()
        start = torch.empty(site.shape).uniform_(0.9, 0.999) ** (1 / gate.sharpness)
        self.base = nn.Parameter(start.logit())

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        strength = self.linear(x).sigmoid().unflatten(-1, self.shape)
        return torch.exp(self.sharpness * strength * F.logsigmoid(self.base))
