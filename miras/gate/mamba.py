"""Retention of a discretised linear system."""

import math
from collections.abc import MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Mamba(Gate):
    """g = exp(-dt A), dt = softplus(x W + b) one per head and token, A > 0 learned.

    dt is left for the `timescale` step, which writes dt v k^T. At the start dt is log-uniform in
    [0.001, 0.1]; A per head is uniform in [1, 16] (`spread: heads`, Mamba-2 and Gated DeltaNet) or
    1, 2, ..., n along the key channels of every head (`spread: channels`, Mamba-1). With
    `per_channel` dt has one number per channel through a bottleneck of `rank` (Kimi Delta
    Attention), and no timescale is left.

    Source: Mamba (arXiv 2312.00752), section 3.6; Mamba-2 (arXiv 2405.21060); Gated DeltaNet
    (arXiv 2412.06464); Kimi Linear (arXiv 2510.26692).
    """

    kind: Literal["mamba"] = "mamba"
    spread: Literal["heads", "channels"] = "heads"
    per_channel: bool = False
    rank: int = Field(default=16, ge=1, description="bottleneck of a per-channel dt")

    def formula(self) -> str:
        if self.per_channel:
            return (
                f"exp(−dt A), dt = softplus(x W₁ W₂ + b) per channel, rank {self.rank}, A learned"
            )
        start = ", 1, 2, … along the channels at the start" if self.spread == "channels" else ""
        return f"exp(−dt A), dt = softplus(x W + b) per head, A learned{start}"

    def build(self, site: Site) -> nn.Module:
        return _Mamba(self, site)


class _Mamba(nn.Module):
    def __init__(self, gate: Mamba, site: Site) -> None:
        super().__init__()
        self.per_channel, self.width = gate.per_channel and site.width > 0, site.width
        self.steps = (site.heads, site.width) if self.per_channel else (site.heads,)
        size = math.prod(self.steps)
        if self.per_channel:
            down = nn.Linear(site.dim, gate.rank, bias=False)
            self.timescale = nn.Sequential(down, nn.Linear(gate.rank, size, bias=False))
        else:
            self.timescale = nn.Sequential(nn.Linear(site.dim, size, bias=False))
        start = torch.exp(torch.empty(size).uniform_(math.log(1e-3), math.log(1e-1)))
        self.bias = nn.Parameter(start + torch.log(-torch.expm1(-start)))  # inverse softplus
        if gate.spread == "channels" and site.width:
            rates = torch.arange(1.0, site.width + 1).expand(site.heads, site.width)
        else:
            rates = torch.empty(site.heads).uniform_(1, 16)
        self.log_rate = nn.Parameter(rates.log().clone())

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        steps = F.softplus((self.timescale(x) + self.bias).unflatten(-1, self.steps))
        if not self.per_channel:
            shared["timescale"] = steps
        rate = self.log_rate.exp()
        if self.width and not self.per_channel:
            steps = steps[..., None]
        if self.width and rate.ndim == 1:
            rate = rate[:, None].expand(-1, self.width)
        return torch.exp(-steps * rate)
