"""Gradient steps that first erase what is stored along the key, whatever the loss."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import grouped
from miras.optimizer import Stepping, one_step
from miras.token import Buffers, Token, Weights


class DeltaGradientDescent(Stepping):
    """W_t = alpha_t W_{t-1} - step_t W k_t k_t^T - step_t * gradient_t, W where the gradient is.

    Under `dot` this is the delta rule, under `l2` it erases twice. `closed` solves the proximal
    step that it comes from: step / (1 + step |k|^2) in both places.

    Source: Delta Gradient Descent of Nested Learning (arXiv 2512.24695); `closed` is its optimiser
    for linear layers with inputs of length 1.
    """

    kind: Literal["delta_gd"] = "delta_gd"
    closed: bool = Field(default=False, description="step / (1 + step |k|^2)")
    keyed: ClassVar[bool] = True
    erases: ClassVar[bool] = True

    def effective(self, step: Tensor, sensitivity: Tensor) -> Tensor:
        return step / (1 + step * sensitivity) if self.closed else step

    def step_formula(self, step: str, sensitivity: str) -> str:
        if not self.closed:
            return step
        moved = step if sensitivity == "1" else f"{grouped(step)} {sensitivity}"
        return f"{grouped(step)} / (1 + {moved})"

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        assert token.prediction is not None
        stored = one_step(self, token)[..., None] * token.prediction
        erased = stored[..., :, None] * token.key[..., None, :]
        return {name: -leaf - erased for name, leaf in step_gradient.items()}, {}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        step = "s_t" if self.closed else gates["step"]
        factor = "" if step == "1" else f"{grouped(step)} "
        asked = retained if self.gradient_at == "retained" else f"{new.removesuffix('_t')}_{{t−1}}"
        return [f"{new} = {retained} − {factor}{grouped(asked)} k_t k_tᵀ {change}"]
