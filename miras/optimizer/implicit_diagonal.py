"""The implicit step with the diagonal of its curvature: every weight forgets for itself."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.gate import Axis
from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class ImplicitDiagonal(Stepping):
    """W_t = W' ⊙ (1 - d_t (k_t²)^T) + (d_t ⊙ v_t) k_t^T, d = step / (1 + step |k|^2).

    The exact step erases d W' k k^T; here each weight erases what it answers itself. One step per
    head or per value channel. Not the delta rule, unless keys have one channel.

    Source: Longhorn (arXiv 2407.14207), section 3.2, as its authors run it.
    """

    kind: Literal["implicit_diagonal"] = "implicit_diagonal"
    quadratic_only: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    closed_axes: ClassVar[tuple[Axis, ...]] = ("scalar", "value")

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        assert token.residual is not None and token.prediction is not None
        assert token.weights is not None
        if token.step is not None:
            step = token.step[..., None]
        else:
            divisor = token.key.shape[-1] if self.scale == "key_dim" else 1
            step = token.gates["step_value"] / divisor
        square = token.key.square()
        moved = self.moved(step, token.key)
        written = (moved * (token.prediction - token.residual))[..., None] * token.key[..., None, :]
        erased = moved[..., None] * square[..., None, :]
        change = {name: written - erased * token.weights[name] for name in step_gradient}
        return change, {}

    def moved(self, step: Tensor, key: Tensor) -> Tensor:
        """The step that is taken `[..., 1 or value_dim]`, from the size that was asked for."""
        return step / (1 + step * key.square().sum(-1, keepdim=True))

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        step = gates.get("step", gates.get("step_value", ""))
        size = f"{step} / (1 + {step} ‖k_t‖²)"
        return [
            f"d_t = {size}",
            f"{new} = {retained} ⊙ (1 − d_t (k_t²)ᵀ) + (d_t ⊙ v_t) k_tᵀ",
        ]
