"""A gate close to one, through a bottleneck."""

from collections.abc import MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class LowRank(Gate):
    """g = sigmoid(x W_1 W_2 + b) ^ (1 / temperature).

    Source: GLA (arXiv 2312.06635), section 4.4: rank 16, temperature 16, which keeps about 96 % at
    the start.
    """

    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(default=16, ge=1)
    temperature: float = Field(default=16.0, ge=1.0, description="16 in GLA, 8 in GSA")

    def formula(self) -> str:
        power = "" if self.temperature == 1 else f"^(1/{self.temperature:g})"
        return f"sigmoid(x W₁ W₂ + b){power}, rank {self.rank}"

    def build(self, site: Site) -> nn.Module:
        return _LowRank(self, site)


class _LowRank(nn.Module):
    def __init__(self, gate: LowRank, site: Site) -> None:
        super().__init__()
        self.temperature, self.shape = gate.temperature, site.shape
        self.down = nn.Linear(site.dim, gate.rank, bias=False)
        self.up = nn.Linear(gate.rank, site.size)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        gate = self.up(self.down(x)).unflatten(-1, self.shape)
        return torch.exp(F.logsigmoid(gate) / self.temperature)
