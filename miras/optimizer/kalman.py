"""Steps as long as the memory is unsure, direction by direction."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.gate.constant import Constant
from miras.optimizer import Stepping, one_step
from miras.optimizer.ahead import Running
from miras.token import Buffers, Token, Weights


class Kalman(Stepping):
    """W_t = W' - e_t g_t^T with the gain g_t = P k_t / (noise / step_t + k_t^T P k_t).

    P_t = (P - g_t k_t^T P) / f, e = W' k - v. P `[key, key]` is the covariance of a row of W,
    `variance` times the identity at the start. `step` is how much a token counts, one over the
    noise of its value in units of `noise`. f, `forgetting`, is what is kept of the past; P is
    scaled back where its mean variance would exceed `variance`, so that directions nobody asks for
    do not blow up.
    With f = 1 and step 1: W_t = argmin sum_i |W k_i - v_i|^2 / noise + |W - W_0|^2 / variance.

    Source: Kalman filter of a constant state (Kalman 1960), recursive least squares (Haykin,
    Adaptive Filter Theory, chapter 10); as a memory, MesaNet (arXiv 2506.05233), section 2.
    Differs: the limit on the mean variance under forgetting.
    """

    kind: Literal["kalman"] = "kalman"
    step: AnyGate = Field(default=Constant(), description="how much a token counts, non-negative")
    noise: float = Field(default=0.25, gt=0.0, le=1e3, description="variance of a value's noise")
    variance: float = Field(
        default=10.0, gt=0.0, le=1e4, description="variance of a weight at first"
    )
    forgetting: AnyGate = Field(default=Constant(), description="what is kept of the past, f")
    quadratic_only: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    directed: ClassVar[bool] = True

    def uses(self) -> list[Use]:
        kept = Use("kept", "", self.forgetting, 0.5, 1.0, "what is kept of past certainty")
        return [*super().uses(), kept]

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        identity = torch.eye(key.shape[-1], dtype=key.dtype, device=key.device) * self.variance
        covariance = identity.expand(*key.shape[:-1], *identity.shape).clone()
        return super().begin(weights, key, value) | {"covariance": {"key": covariance}}

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        covariance, step = buffers["covariance"]["key"], one_step(self, token)
        unsure, after = self._seen(covariance, token.key, step, token.gates["kept"])
        change = {
            name: -torch.einsum("...vk,...kj->...vj", leaf, covariance) / unsure[..., None, None]
            for name, leaf in step_gradient.items()
        }
        return change, {"covariance": {"key": after}}

    def directions(
        self, key: Tensor, gates: Mapping[str, Tensor], buffers: Buffers, running: Running
    ) -> tuple[Tensor, Buffers]:
        covariance = buffers["covariance"]["key"]
        found: list[Tensor] = []
        for now, step, kept in zip(
            key.unbind(-2), gates["step"].unbind(-1), gates["kept"].unbind(-1), strict=True
        ):
            asked = (now[..., None, :] @ covariance)[..., 0, :]
            unsure, covariance = self._seen(covariance, now, step, kept)
            found.append(asked / unsure[..., None])
        return torch.stack(found, dim=-2), {"covariance": {"key": covariance}}

    def _seen(
        self, covariance: Tensor, key: Tensor, step: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The variance of what is learned at a token, and P after it."""
        seen = (covariance @ key[..., None])[..., 0]
        unsure = self.noise + step * (seen * key).sum(-1)
        less = (step / unsure)[..., None, None] * seen[..., :, None] * seen[..., None, :]
        after = (covariance - less) / kept[..., None, None]
        mean = after.diagonal(dim1=-2, dim2=-1).mean(-1)
        after = after * (self.variance / mean.clamp_min(self.variance))[..., None, None]
        return unsure, after

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        kept = "" if gates["kept"] == "1" else f" / {gates['kept']}"
        step = gates["step"]
        count = "" if step == "1" else f"{step} "
        past = (
            f"(P_{{t−1}} − {count}s_t s_tᵀ / n_t)" if kept else f"P_{{t−1}} − {count}s_t s_tᵀ / n_t"
        )
        return [
            "s_t = P_{t−1} k_t",
            f"n_t = {self.noise:g} + {count}k_t · s_t",
            f"{new} = {retained} {change} P_{{t−1}} / n_t",
            f"P_t = {past}{kept}",
        ]
