"""Gradients leave traces; a reward turns traces into weights."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from miras.gate import AnyGate, Use
from miras.gate.linear import Linear
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping, broadcast
from miras.token import Buffers, Token, Weights


class Eligibility(Stepping):
    """E_t = lambda_t E_{t-1} + step_t * gradient_t, A_t = alpha_t A_{t-1} - reward_t E_t.

    The three-factor rule: what was seen together marks its weights, a third factor that comes later
    (reward, surprise of the body) says whether the mark is learned, or unlearned if it is negative.

    Source: Gerstner et al. 2018 (arXiv 1801.05219), equations 3 and 4.
    """

    kind: Literal["eligibility"] = "eligibility"
    trace: AnyGate = Field(default=Sigmoid(), description="lambda, what is kept of past gradients")
    reward: AnyGate = Field(default=Linear(), description="the third factor, of any sign")
    buffers: ClassVar[tuple[str, ...]] = ("eligibility",)

    def uses(self) -> list[Use]:
        infinite = float("inf")
        kept = Use("trace", "", self.trace, 0.0, 1.0, "what is kept of past gradients")
        third = Use("reward", "", self.reward, -infinite, infinite, "what traces are worth now")
        return [*super().uses(), kept, third]

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        kept, reward = token.gates["trace"], token.gates["reward"]
        traces = {
            name: broadcast(kept, leaf) * buffers["eligibility"][name] + leaf
            for name, leaf in step_gradient.items()
        }
        change = {name: -broadcast(reward, leaf) * leaf for name, leaf in traces.items()}
        return change, {"eligibility": traces}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        past = "" if gates["trace"] == "1" else f"{gates['trace']} "
        factor = "" if gates["reward"] == "1" else f"{gates['reward']} "
        return [f"E_t = {past}E_{{t−1}} {change}", f"{new} = {retained} + {factor}E_t"]
