"""Learned numbers that start far apart."""

from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from miras.gate import Gate, Site
from miras.part import SpecError


class Spread(Gate):
    """g learned per head and channel, the same for every token; g^power uniform at the start.

    Trained through a sigmoid. With power 2 and g the length of a complex number, numbers are spread
    evenly over a ring, from `low` to `high`.

    Source: LRU (arXiv 2303.06349), section 3.2.2 and lemma 3.2, initialisation on a ring.
    """

    kind: Literal["spread"] = "spread"
    low: float = Field(default=0.9, ge=0.0, le=1.0, description="smallest number at the start")
    high: float = Field(default=0.999, ge=0.0, le=1.0, description="largest number at the start")
    power: float = Field(default=1.0, gt=0.0, le=4.0, description="of which it is uniform")
    sees_input: ClassVar[bool] = False

    @model_validator(mode="after")
    def _low_is_low(self) -> "Spread":
        if self.low > self.high:
            raise SpecError(f"low: {self.low:g} is above high: {self.high:g}: exchange them")
        return self

    def formula(self) -> str:
        return f"learned, between {self.low:g} and {self.high:g} at the start"

    def build(self, site: Site) -> nn.Module:
        return _Spread(self, site)


class _Spread(nn.Module):
    def __init__(self, gate: Spread, site: Site) -> None:
        super().__init__()
        ends = gate.low**gate.power, gate.high**gate.power
        start = torch.empty(site.shape).uniform_(*ends) ** (1 / gate.power)
        self.raw = nn.Parameter(start.clamp(1e-6, 1 - 1e-6).logit())

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return self.raw.sigmoid().expand(*x.shape[:2], *self.raw.shape)
