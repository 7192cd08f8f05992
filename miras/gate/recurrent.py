"""A gate that also sees the previous output."""

import math
from collections.abc import MutableMapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from miras.gate import Gate, Site

CAP = 15.0
"""Largest exponent of an exponential gate."""


class Recurrent(Gate):
    """g_t = sigmoid(x_t W + b + R h_{t-1}), h the output of the memory, R learned per head.

    With `activation: exponential` it is exp(15 tanh(. / 15)) of the same sum, for a step.

    The operator takes x W + b and R, and adds h itself; with one head R is the full matrix of LSTM
    and GRU, with more it is block-diagonal.

    Source: LSTM (Hochreiter and Schmidhuber 1997); b = 1 for forget gates is Gers et al. 2000; the
    exponential xLSTM (arXiv 2405.04517), equation 11, with the soft cap of xLSTM 7B.
    """

    kind: Literal["recurrent"] = "recurrent"
    bias: float = Field(default=0.0, ge=-12.0, le=12.0, description="b at the start")
    activation: Literal["sigmoid", "exponential"] = "sigmoid"
    recurrent: ClassVar[bool] = True

    def ceiling(self, high: float) -> float:
        return 1.0 if self.activation == "sigmoid" else math.exp(CAP)

    def activate(self, seen: Tensor) -> Tensor:
        if self.activation == "sigmoid":
            return torch.sigmoid(seen)
        return torch.exp(CAP * torch.tanh(seen / CAP))

    def formula(self) -> str:
        if self.activation == "exponential":
            return f"exp(x W + b + R y_{{t−1}}) up to e^{CAP:g}, b = {self.bias:g} at the start"
        return f"sigmoid(x W + b + R y_{{t−1}}), b = {self.bias:g} at the start"

    def build(self, site: Site) -> nn.Module:
        return _Recurrent(self, site)


class _Recurrent(nn.Module):
    def __init__(self, gate: Recurrent, site: Site) -> None:
        super().__init__()
        self.shape = site.shape
        self.linear = site.linear()
        nn.init.constant_(self.linear.bias, gate.bias)

    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        return self.linear(x).unflatten(-1, self.shape)
