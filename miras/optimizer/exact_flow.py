"""Gradient flow, integrated exactly."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from miras.gate import grouped
from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class ExactFlow(Stepping):
    """dW/ds = -(W k - v) k^T for a time `step`, from the retained memory.

    Equal to gradient descent with (1 - exp(-step |k|^2)) / |k|^2, for a linear memory under `l2`.

    Source: EFLA, derived anew: the exact solution of the flow within a token.
    """

    kind: Literal["exact_flow"] = "exact_flow"
    plain: ClassVar[bool] = True
    quadratic_only: ClassVar[bool] = True

    def effective(self, step: Tensor, sensitivity: Tensor) -> Tensor:
        size = sensitivity.clamp_min(torch.finfo(step.dtype).tiny)
        return -torch.expm1(-step * size) / size

    def step_formula(self, step: str, sensitivity: str) -> str:
        if sensitivity == "1":
            return f"1 − exp(−{grouped(step)})"
        return f"(1 − exp(−{grouped(step)} {sensitivity})) / {sensitivity}"

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        return {name: -leaf for name, leaf in step_gradient.items()}, {}
