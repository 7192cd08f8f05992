"""Shorter steps along key channels that were often used."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping
from miras.optimizer.ahead import Running
from miras.token import Buffers, Token, Weights


class Preconditioned(Stepping):
    """A_t = alpha_t A_{t-1} - step_t * gradient_t Diag(b^-s_t), one s per key channel.

    s = r / (1 + |r|), r = log(m_t + epsilon) - center, with the second moment of the keys
    m_t = kept_t m_{t-1} + added_t k_t^2. So a step along a channel is between 1/b and b of itself:
    the error is read at k, and written along k b^-s.

    Source: preconditioned Gated DeltaNet, base 1.5 and center -0.2; AdaGrad with a
    bounded exponent. Differs: the gates kept and added are sigmoids.
    """

    kind: Literal["preconditioned"] = "preconditioned"
    kept: AnyGate = Field(default=Sigmoid(bias=4.0), description="what is kept of the moment")
    added: AnyGate = Field(default=Sigmoid(), description="how much of the key's square enters")
    base: float = Field(default=1.5, ge=1.0, le=4.0, description="b, the largest change of a step")
    center: float = Field(default=-0.2, ge=-10.0, le=10.0, description="log moment of no change")
    epsilon: float = Field(default=1e-6, gt=0.0, le=1e-2)
    keyed: ClassVar[bool] = True
    directed: ClassVar[bool] = True

    @property
    def stretch(self) -> float:
        return self.base

    def uses(self) -> list[Use]:
        kept = Use("kept", "", self.kept, 0.0, 1.0, "what is kept of the second moment of the keys")
        enters = "how much of the key's square enters"
        added = Use("added", "", self.added, 0.0, float("inf"), enters)
        return [*super().uses(), kept, added]

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        return super().begin(weights, key, value) | {"moment": {"key": torch.zeros_like(key)}}

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        kept, added = (token.gates[name][..., None] for name in ("kept", "added"))
        moment = kept * buffers["moment"]["key"] + added * token.key.square()
        factor = self._factor(moment)
        change = {name: -leaf * factor[..., None, :] for name, leaf in step_gradient.items()}
        return change, {"moment": {"key": moment}}

    def directions(
        self, key: Tensor, gates: Mapping[str, Tensor], buffers: Buffers, running: Running
    ) -> tuple[Tensor, Buffers]:
        added = gates["added"][..., None] * key.square()
        moments = running(gates["kept"], added, buffers["moment"]["key"])
        return key * self._factor(moments), {"moment": {"key": moments[..., -1, :]}}

    def _factor(self, moment: Tensor) -> Tensor:
        level = (moment + self.epsilon).log() - self.center
        return self.base ** -(level / (1 + level.abs()))

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        kept, added = ("" if gates[n] == "1" else f"{gates[n]} " for n in ("kept", "added"))
        sign = "+" if self.center <= 0 else "−"
        return [
            f"m_t = {kept}m_{{t−1}} + {added}k_t²",
            f"r_t = log(m_t + {self.epsilon:g}) {sign} {abs(self.center):g}",
            f"{new} = {retained} {change} Diag({self.base:g}^(−r_t / (1 + |r_t|)))",
        ]
