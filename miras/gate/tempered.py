"""A selection with a temperature, which forgets and writes by the same number."""

from collections.abc import MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miras.gate import Gate, Site


class Tempered(Gate):
    """g = exp(-s t), s = softplus(x W + b) the selection, t = sigmoid(x W' + b') its temperature.

    s^t is left for a step of kind `selection`. At the start s is log-uniform in [0.01, 0.1].

    Source: Rodimus (arXiv 2410.06577), data-dependent tempered selection. Differs: dense W, the
    paper's are low-rank; the start of s.
    """

    kind: Literal["tempered"] = "tempered"

    def formula(self) -> str:
        return "exp(−s t), s = softplus(x W + b), t = sigmoid(x W′ + b′)"

    def build(self, site: Site) -> nn.Module:
        return _Tempered(self, site)


class _Tempered(nn.Module):
    def __init__(self, gate: Tempered, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.selection, self.temperature = site.linear(), site.linear()
        start = torch.exp(torch.empty(site.size).uniform_(-4.6, -2.3))
        with torch.no_grad():
            self.selection.bias.copy_(start + torch.log(-torch.expm1(-start)))

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        shape = (*x.shape[:2], *self.shape)
        selection = F.softplus(self.selection(x)).reshape(shape)
        temperature = self.temperature(x).sigmoid().reshape(shape)
        shared["selection"] = torch.exp(temperature * selection.clamp_min(1e-12).log())
        return torch.exp(-selection * temperature)
