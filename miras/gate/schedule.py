"""A fixed retention that differs by head."""

from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class Schedule(Gate):
    """g_h = 1 - 2^(-first - h): each head forgets half as fast as the one before.

    Source: RetNet (arXiv 2307.08621), section 2.3, first = 5.
    """

    kind: Literal["schedule"] = "schedule"
    first: float = Field(default=5.0, gt=0.0, le=12.0)
    sees_input: ClassVar[bool] = False

    def formula(self) -> str:
        return f"1 − 2^(−{self.first:g} − h), h = 0, 1, … counts heads"

    def build(self, site: Site) -> nn.Module:
        return _Schedule(self, site)


class _Schedule(nn.Module):
    gates: Tensor

    def __init__(self, gate: Schedule, site: Site) -> None:
        super().__init__()
        values = 1 - 2.0 ** (-gate.first - torch.arange(site.heads))
        values = values.reshape(-1, *[1] * (len(site.shape) - 1)).expand(site.shape).clone()
        self.register_buffer("gates", values, persistent=False)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return self.gates.to(x.dtype).expand(*x.shape[:2], *self.gates.shape)
