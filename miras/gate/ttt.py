"""The step of test-time training."""

import math
from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site


class TestTimeTraining(Gate):
    """g = base * sigmoid(x W + b) * max(0, 1 / i + c_i), i = place in the gradient chunk, from 1.

    c is learned, one per place, 0 at the start. The step is divided by the key size with
    `scale: key_dim` of the optimizer.

    Source: TTT (arXiv 2407.04620), section 2.7, and its code: base 1 for TTT-Linear, 0.1 for
    TTT-MLP.
    """

    __test__ = False  # the name makes test runners look here
    kind: Literal["ttt"] = "ttt"
    base: float = Field(default=1.0, gt=0.0, le=10.0)
    counts_chunk: ClassVar[bool] = True

    def ceiling(self, high: float) -> float:
        return math.inf

    def formula(self) -> str:
        base = "" if self.base == 1 else f"{self.base:g} "
        return f"{base}sigmoid(x W + b) max(0, 1/i + c_i), i = place in the chunk, c learned"

    def build(self, site: Site) -> nn.Module:
        return _TestTimeTraining(self, site)


class _TestTimeTraining(nn.Module):
    __test__ = False
    fade: Tensor

    def __init__(self, gate: TestTimeTraining, site: Site) -> None:
        super().__init__()
        self.base, self.shape, self.chunk = gate.base, site.shape, site.chunk
        self.linear = site.linear()
        self.register_buffer("fade", 1 / torch.arange(1.0, site.chunk + 1), persistent=False)
        self.place = nn.Parameter(torch.zeros(site.chunk))

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        place = (self.fade + self.place).clamp_min(0)[shared["position"] % self.chunk]
        gate = self.base * self.linear(x).sigmoid() * place[:, None]
        return gate.unflatten(-1, self.shape)
