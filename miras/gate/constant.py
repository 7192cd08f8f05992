"""The same number for every token."""

import math
from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Constant(Gate):
    """g = value: the neutral gate, a number of the memory; if `learned`, one per head and channel.

    A learned constant is trained through a sigmoid where the gate must stay below 1, through an
    exponential where it is only non-negative.
    """

    kind: Literal["constant"] = "constant"
    value: float = Field(default=1.0, ge=0.0, description="the gate, or where learning starts")
    learned: bool = False
    sees_input: ClassVar[bool] = False

    @property
    def fixed(self) -> float | None:
        return None if self.learned else self.value

    def ceiling(self, high: float) -> float:
        return high if self.learned else self.value

    def formula(self) -> str:
        return f"learned, {self.value:g} at the start" if self.learned else f"{self.value:g}"

    def build(self, site: Site) -> nn.Module:
        return _Constant(self, site)


class _Constant(nn.Module):
    def __init__(self, gate: Constant, site: Site) -> None:
        super().__init__()
        self.bounded = site.high == 1.0
        edge = 1e-4
        start = min(max(gate.value, edge), 1 - edge) if self.bounded else max(gate.value, edge)
        raw = math.log(start / (1 - start)) if self.bounded else math.log(start)
        self.raw = nn.Parameter(torch.full(site.shape, raw))

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        value = self.raw.sigmoid() if self.bounded else self.raw.exp()
        return value.expand(*x.shape[:2], *value.shape)
