"""Gradient descent with a running sum of past surprise."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from miras.gate import AnyGate, Use
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping, broadcast
from miras.token import Buffers, Token, Weights


class Momentum(Stepping):
    """S_t = eta_t S_{t-1} - step_t * gradient_t, A_t = alpha_t A_{t-1} + S_t.

    Source: Titans (arXiv 2501.00663), equations 9-10 and 13-14.
    """

    kind: Literal["momentum"] = "momentum"
    momentum: AnyGate = Field(default=Sigmoid(), description="eta, what is kept of past surprise")
    heavy_ball: ClassVar[bool] = True
    buffers: ClassVar[tuple[str, ...]] = ("momentum",)

    def uses(self) -> list[Use]:
        kept = Use("momentum", "", self.momentum, 0.0, 1.0, "what is kept of past surprise")
        return [*super().uses(), kept]

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        kept = token.gates["momentum"]
        surprise = {
            name: broadcast(kept, leaf) * buffers["momentum"][name] - leaf
            for name, leaf in step_gradient.items()
        }
        return surprise, {"momentum": surprise}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        past = "" if gates["momentum"] == "1" else f"{gates['momentum']} "
        return [f"S_t = {past}S_{{t−1}} {change}", f"{new} = {retained} + S_t"]
