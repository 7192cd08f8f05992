"""Squared near the target, absolute beyond a threshold."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Entrywise, Gates
from miras.gate import AnyGate, Use
from miras.gate.constant import Constant


class Huber(Bias):
    """Robust error: outliers push with bounded strength. r = prediction - target, d = threshold.

    form `coordinate`: loss = sum_j H_d(r_j), error = clip(r, -d, d)
    form `norm`:       loss = H_d(|r|),       error = r min(1, d / |r|)
    form `switch`:     error = r if |r| <= d, else d sign(r) (sign smoothed as r / sqrt(r^2 + s))
    with H_d(a) = a^2 / 2 up to d and d (|a| - d / 2) beyond. `switch` is no gradient of one loss;
    its `loss` is the one of `norm`.

    Source: MIRAS (arXiv 2504.13173), equations 14, 15 and 16 (Yaad uses 16 with a learned d).
    """

    kind: Literal["huber"] = "huber"
    form: Literal["coordinate", "norm", "switch"] = "coordinate"
    threshold: AnyGate = Field(
        default=Constant(value=1.0), description="d, in value units; may depend on the token"
    )
    smoothing: float = Field(default=0.01, gt=0.0, le=1.0, description="s of the smooth sign")
    bounded: ClassVar[bool] = True

    @property
    def has_loss(self) -> bool:
        """Whether the error is the gradient of the loss."""
        return self.form != "switch"

    @property
    def slope(self) -> float:
        # Beyond the threshold d the switch pushes each entry by d times its smooth sign; d is 1 or
        # so where it is made from the input.
        threshold = 1.0 if self.threshold.fixed is None else self.threshold.fixed
        return max(1.0, threshold * self.smoothing**-0.5) if self.form == "switch" else 1.0

    def uses(self) -> list[Use]:
        return [Use("threshold", "", self.threshold, 0.0, float("inf"), "where squared ends")]

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        threshold = gates["threshold"]
        residual = prediction - target
        if self.form == "coordinate":
            return _huber(residual, threshold[..., None]).sum(-1)
        return _huber(_norm(residual)[..., 0], threshold)

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        threshold = gates["threshold"][..., None]
        residual = prediction - target
        if self.form == "coordinate":
            return torch.maximum(torch.minimum(residual, threshold), -threshold)
        norm = _norm(residual)
        if self.form == "norm":
            return residual * (threshold / norm).clamp_max(1.0)
        sign = residual / (residual.square() + self.smoothing).sqrt()
        return torch.where(norm <= threshold, residual, threshold * sign)

    def entrywise(self) -> Entrywise:
        if self.form == "coordinate":
            return Entrywise("most(least(r, g), -g)")
        if self.form == "norm":
            return Entrywise("r * least(g / root(n2 + T(1e-30)), T(1))")
        expression = "where(root(number(n2) + T(1e-30)) <= g, r, g * r / root(r * r + p[0]))"
        return Entrywise(expression, (self.smoothing,))

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        threshold, residual = gates["threshold"], f"r = {prediction} − {target}"
        if self.form == "coordinate":
            return f"clip(r, −{threshold}, {threshold}), {residual}"
        if self.form == "norm":
            return f"r min(1, {threshold} / ‖r‖), {residual}"
        sign = f"{threshold} r / √(r² + {self.smoothing:g})"
        return f"r if ‖r‖ ≤ {threshold}, else {sign}, {residual}"


def _norm(residual: Tensor) -> Tensor:
    """Length of a residual `[..., 1]`, with a finite slope where the residual is zero."""
    return (residual.square().sum(-1, keepdim=True) + 1e-30).sqrt()


def _huber(size: Tensor, threshold: Tensor) -> Tensor:
    size = size.abs()
    inside = size.square() / 2
    return torch.where(size <= threshold, inside, threshold * (size - threshold / 2))
