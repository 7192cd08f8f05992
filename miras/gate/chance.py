"""A random number per token."""

from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Chance(Gate):
    """g = e^(spread n), n ~ N(0, 1) drawn anew for every token, head and channel.

    Divided by their sum, such numbers are softmax(spread n): a random distribution whose mean is
    uniform. In evaluation g = 1, which gives that mean, unless `always` says otherwise: then the
    same input gives another output each time.

    Source: the random branch of the meta gate of MemNet
    (github.com/Ant1pozitive/memory-is-all-you-need), which draws in evaluation as well.
    """

    kind: Literal["chance"] = "chance"
    spread: float = Field(default=5.0, ge=0.0, le=16.0, description="standard deviation of log g")
    always: bool = Field(default=False, description="draw in evaluation as well")
    sees_input: ClassVar[bool] = False

    def ceiling(self, high: float) -> float:
        return high

    def formula(self) -> str:
        when = "" if self.always else ", 1 in evaluation"
        return f"exp({self.spread:g} n), n ~ N(0, 1){when}"

    def build(self, site: Site) -> nn.Module:
        return _Chance(self, site)


class _Chance(nn.Module):
    def __init__(self, gate: Chance, site: Site) -> None:
        super().__init__()
        self.gate, self.shape, self.high = gate, site.shape, site.high

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        shape = (*x.shape[:2], *self.shape)
        if not (self.training or self.gate.always):
            return x.new_ones(shape)
        noise = torch.randn(shape, dtype=x.dtype, device=x.device)
        return (self.gate.spread * noise).exp().clamp_max(self.high)
