"""Several keys, values and steps per token."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use, uses
from miras.gate.linear import Linear
from miras.optimizer import Stepping, Write, broadcast
from miras.token import Buffers, Token, Weights


class MultiStep(Stepping):
    """`count` gradient steps per token, one after the other, each with a pair of its own.

    W_{t,j} = W_{t,j-1} - step_{t,j} gradient(W_{t,j-1}; k_{t,j}, v_{t,j}), j = 1 .. count, where
    W_{t,0} is the retained memory: it decays once per token. The product of so many reflections
    tracks states that one cannot.
    With `momentum` the running sum is that of the writes: S_{t,j} = eta_t S_{t,j-1} - step
    gradient, W_{t,j} = W_{t,j-1} + S_{t,j}.
    Keys and values from the second on are gates of any sign, `key_2`, `value_2`, ...; keys pass the
    memory's feature map.

    Source: DeltaProduct (arXiv 2502.10297), section 4.
    """

    kind: Literal["multi_step"] = "multi_step"
    count: int = Field(default=2, ge=1, le=8, description="writes per token")
    momentum: AnyGate | None = Field(
        default=None, description="what is kept of past gradients from write to write"
    )
    each_write: ClassVar[bool] = True
    buffers: ClassVar[tuple[str, ...]] = ()

    @property
    def carries(self) -> bool:
        return self.momentum is not None

    def uses(self) -> list[Use]:
        infinite = float("inf")
        found = super().uses()
        if self.momentum is not None:
            kept = "what is kept of past gradients from write to write"
            found.append(Use("momentum", "", self.momentum, 0.0, 1.0, kept))
        for place in range(2, self.count + 1):
            nth = f"write {place} of a token"
            found += [
                Use(f"key_{place}", "unmapped", Linear(), -infinite, infinite, f"key of {nth}"),
                Use(f"value_{place}", "value", Linear(), -infinite, infinite, f"value of {nth}"),
            ]
            found += [
                use._replace(name=f"{use.name}_{place}", meaning=f"how strong {nth} is")
                for use in self._steps()
            ]
        return found

    def _steps(self) -> list[Use]:
        """Steps that differ from write to write: a number or a function of the decay does not."""
        if self.step.derived or self.step.fixed is not None:
            return []
        return uses("step", self.step_axis, self.step, "")

    def writes(self, key: Tensor, value: Tensor, gates: Mapping[str, Tensor]) -> list[Write]:
        found: list[Write] = [(key, value, gates)]
        for place in range(2, self.count + 1):
            own = {use.name: gates[f"{use.name}_{place}"] for use in self._steps()}
            found.append((gates[f"key_{place}"], gates[f"value_{place}"], {**gates, **own}))
        return found * self.passes

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        found = super().begin(weights, key, value)
        if self.momentum is not None:
            found["momentum"] = {name: leaf * 0 for name, leaf in weights.items()}
        return found

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        change = {name: -leaf for name, leaf in step_gradient.items()}
        if self.momentum is None:
            return change, {}
        kept = token.gates["momentum"]
        summed = {
            name: broadcast(kept, leaf) * buffers["momentum"][name] + leaf
            for name, leaf in change.items()
        }
        return summed, {"momentum": summed}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        past = f"{gates['momentum']} S_{{t−1}} " if self.momentum is not None else ""
        lines = [f"{new} = {retained} {change}"]
        if past:
            lines = [f"S_t = {past}{change}", f"{new} = {retained} + S_t"]
        if self.count > 1:
            again = f"the same from {new} with key_j, value_j and step_j, j = 2 … {self.count}"
            lines.append(f"{new} ← {again}")
        return lines
