"""A learned number between two bounds."""

import math
from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from miras.gate import Gate, Site
from miras.part import SpecError


class Clamped(Gate):
    """g = min(max(log(1 + e^b), least), most), b = `bias` at the start: one b per head and channel.

    A number on a bound has no gradient: it stays there until something else moves b.

    Source: sharpness of addresses in MemNet (github.com/Ant1pozitive/memory-is-all-you-need).
    """

    kind: Literal["clamped"] = "clamped"
    bias: float = Field(default=1.0, ge=-12.0, le=100.0, description="b at the start")
    least: float = Field(default=0.0, ge=0.0, le=100.0, description="smallest value")
    most: float = Field(default=1.0, ge=0.0, le=1000.0, description="largest value")
    sees_input: ClassVar[bool] = False

    @model_validator(mode="after")
    def _in_order(self) -> "Clamped":
        if self.least > self.most:
            raise SpecError(f"least {self.least:g} is above most {self.most:g}: swap them")
        return self

    def ceiling(self, high: float) -> float:
        return self.most

    def formula(self) -> str:
        start = min(max(math.log1p(math.exp(self.bias)), self.least), self.most)
        return f"learned in [{self.least:g}, {self.most:g}], {start:.4g} at the start"

    def build(self, site: Site) -> nn.Module:
        return _Clamped(self, site)


class _Clamped(nn.Module):
    def __init__(self, gate: Clamped, site: Site) -> None:
        super().__init__()
        self.least, self.most = gate.least, gate.most
        self.raw = nn.Parameter(torch.full(site.shape, gate.bias))

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        value = F.softplus(self.raw).clamp(self.least, self.most)
        return value.expand(*x.shape[:2], *value.shape)
