"""A retention gate that touches a few channels of a token and leaves the others as they are."""

from collections.abc import MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Routed(Gate):
    """g = f^r, f = sigmoid(x W + b) ^ (1 / temperature), r a sparse route over the channels.

    r is sigmoid(x R), kept where it is among the `top` of a head and divided by its sum, and 0
    elsewhere: there g = 1 exactly, nothing is forgotten and `complement` writes nothing. While
    training, `noise` adds Gumbel noise before the choice. Where a site has no channels, r = 1.

    Source: Raven, as in flash-linear-attention (github.com/fla-org/flash-linear-attention).
    Differs: the noise chooses, it does not weigh.
    """

    kind: Literal["routed"] = "routed"
    top: int = Field(default=32, ge=1, description="channels of a head that a token touches")
    temperature: float = Field(default=8.0, ge=1.0, description="root of the sigmoid")
    noise: bool = Field(default=True, description="choose by chance while training")

    def formula(self) -> str:
        return (
            f"f^r, f = sigmoid(x W + b)^(1/{self.temperature:g}), r = sigmoid(x R) of the"
            f" {self.top} largest channels over their sum"
        )

    def build(self, site: Site) -> nn.Module:
        return _Routed(self, site)


class _Routed(nn.Module):
    def __init__(self, gate: Routed, site: Site) -> None:
        super().__init__()
        self.temperature, self.noise, self.shape = gate.temperature, gate.noise, site.shape
        self.top = min(gate.top, site.width) if site.width else 0
        self.linear = site.linear()
        self.route = nn.Linear(site.dim, site.size, bias=False) if self.top else None

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        kept = F.logsigmoid(self.linear(x).unflatten(-1, self.shape)) / self.temperature
        if self.route is None:
            return kept.exp()
        score = self.route(x).unflatten(-1, self.shape).sigmoid()
        chance = torch.zeros_like(score)
        if self.training and self.noise:
            uniform = torch.rand_like(score).clamp(1e-6, 1 - 1e-6)
            chance = -torch.log(-torch.log(uniform))
        place = (score + chance).topk(self.top, dim=-1).indices
        chosen = torch.zeros_like(score).scatter(-1, place, score.gather(-1, place))
        return torch.exp(kept * chosen / chosen.sum(-1, keepdim=True))
