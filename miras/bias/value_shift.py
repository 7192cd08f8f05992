"""Squared error against the worst shift of the target."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Entrywise, Gates
from miras.gate import AnyGate, Use
from miras.gate.constant import Constant


class ValueShift(Bias):
    """loss = max over |d| <= D of |r - d|^2 / 2 = |r|^2 / 2 + D |r| + D^2 / 2, r = M(k) - v.

    error = r (1 + D / |r|): the memory learns a value that an adversary may move by D. |r| is
    smoothed as sqrt(|r|^2 + s), so that the push of length D fades at the target; its slope there
    is 1 + D / sqrt(s) (rule T16 of docs/rules.md).

    Source: MIRAS (arXiv 2504.13173), equation 17. Differs: smoothed, since the error of the paper
    jumps at r = 0.
    """

    kind: Literal["value_shift"] = "value_shift"
    shift: AnyGate = Field(
        default=Constant(value=0.1), description="D, in value units; may depend on the token"
    )
    smoothing: float = Field(default=0.01, gt=0.0, le=1.0, description="s, in squared value units")

    @property
    def slope(self) -> float:
        # The shift is 1 or so where it is made from the input.
        shift = 1.0 if self.shift.fixed is None else self.shift.fixed
        return 1.0 + shift * self.smoothing**-0.5

    def uses(self) -> list[Use]:
        return [Use("shift", "", self.shift, 0.0, float("inf"), "how far a value may be moved")]

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        shift, square = gates["shift"], (prediction - target).square().sum(-1)
        return square / 2 + shift * (square + self.smoothing).sqrt() + shift.square() / 2

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        residual = prediction - target
        length = (residual.square().sum(-1, keepdim=True) + self.smoothing).sqrt()
        return residual * (1 + gates["shift"][..., None] / length)

    def entrywise(self) -> Entrywise:
        return Entrywise("r * (T(1) + g / root(n2 + p[0]))", (self.smoothing,))

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        factor = f"1 + {gates['shift']} / √(‖r‖² + {self.smoothing:g})"
        return f"r ({factor}), r = {prediction} − {target}"
