"""Retention that never falls below a bound of its layer."""

from collections.abc import MutableMapping
from typing import Literal

import torch
from torch import Tensor, nn

from miras.gate import Gate, Site


class LowerBound(Gate):
    """g = l + (1 - l) sigmoid(x W), l learned per channel, larger in deeper layers.

    Source: HGRN2 (arXiv 2404.07904), section 3.1. Differs: there l is a cumulative softmax over the
    depth of the model, shared between layers and 0 in the first; here every layer learns its own l
    in (0, 1), which starts at layer / layers (0.01 in the first).
    """

    kind: Literal["lower_bound"] = "lower_bound"

    def formula(self) -> str:
        return "l + (1 − l) sigmoid(x W), l learned"

    def build(self, site: Site) -> nn.Module:
        return _LowerBound(site)


class _LowerBound(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.linear = nn.Linear(site.dim, site.size, bias=False)
        start = max(0.01, site.layer / site.layers)
        self.bound = nn.Parameter(torch.full(site.shape, start).logit())

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        bound = self.bound.sigmoid()
        return bound + (1 - bound) * self.linear(x).sigmoid().unflatten(-1, self.shape)
