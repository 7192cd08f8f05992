"""Each token is written twice: when it comes, and with the next one."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class Trapezoid(Stepping):
    """W_t = alpha_t W_{t-1} - step_t (lambda_t g_t + (1 - lambda_t) alpha_t g_{t-1}).

    g_t is the gradient of token t without its step, alpha_t the retention gate (1 without one),
    lambda_t the gate `lead`: the generalised trapezoidal rule for W' = A W - g. Under `dot` it is a
    write of v_t k_t^T that grows once more when token t + 1 comes (rule R11 of docs/rules.md).

    Source: Mamba-3 (Lahoti et al. 2026), trapezoidal discretisation, as its code writes it.
    """

    kind: Literal["trapezoid"] = "trapezoid"
    lead: AnyGate = Field(default=Sigmoid(), description="lambda, the share of a token's own step")
    buffers: ClassVar[tuple[str, ...]] = ("before",)
    trails: ClassVar[bool] = True

    def uses(self) -> list[Use]:
        lead = Use("lead", "", self.lead, 0.0, 1.0, "share of the write that does not wait")
        return [*super().uses(), lead]

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        step, lead = token.step, token.gates["lead"]
        if step is None:
            raise ValueError("trapezoid needs one step per head")
        kept = token.gates.get("decay", torch.ones_like(lead))
        written = step > torch.finfo(step.dtype).tiny
        # Of a token that a surprise gate left out there is no direction to remember.
        bare = {
            name: x * _column(torch.where(written, 1 / torch.where(written, step, 1), 0), x)
            for name, x in step_gradient.items()
        }
        late = step * (1 - lead) * kept
        change = {
            name: -_column(lead, x) * x - _column(late, x) * buffers["before"][name]
            for name, x in step_gradient.items()
        }
        return change, {"before": bare}

    def shares(self, step: Tensor, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        own = gates["lead"] * step
        return own, step - own

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        lead, step, kept = gates["lead"], gates["step"], gates.get("decay", "1")
        kept = "" if kept == "1" else f" {kept}"
        return [
            f"G_t = {change}, without its step",
            f"{new} = {retained} + {step} ({lead} G_t + (1 − {lead}){kept} G_{{t−1}})",
        ]


def _column(by: Tensor, leaf: Tensor) -> Tensor:
    return by.reshape(*by.shape, *[1] * (leaf.ndim - by.ndim))
