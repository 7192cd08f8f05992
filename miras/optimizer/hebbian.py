"""Edges between slots that were active one after the other."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator

from miras.gate import AnyGate, Use, uses
from miras.gate.constant import Constant
from miras.optimizer import Stepping
from miras.optimizer.erase_write import EraseWrite
from miras.part import SpecError
from miras.token import Buffers, Token, Weights


class Hebbian(Stepping):
    """A <- keep A + step (p a^T - depression a p^T), entries kept in [0, limit]; p <- a.

    a is the activity that the last read left in the slots, p the one before it: edges point from
    what was active to what came next, as under spike-timing-dependent plasticity. With `read:
    before` a belongs to this token, with `read: after` to the one before. `rows` scales the edges
    of a slot down to a sum of 1 where they exceed it. Slots themselves are written by `slots`.

    Source: MemNet (github.com/Ant1pozitive/memory-is-all-you-need, memory bank), which has no
    depression and lets no gradient into the edges.
    """

    kind: Literal["hebbian"] = "hebbian"
    associative: ClassVar[bool] = True

    step: AnyGate = Field(default=Constant(value=0.05), description="how fast edges are learned")
    keep: float = Field(default=0.995, ge=0.0, le=1.0, description="what is kept of an edge")
    limit: float = Field(default=1.0, gt=0.0, le=100.0, description="largest edge")
    depression: float = Field(
        default=0.0, ge=0.0, le=10.0, description="how much the edges back are weakened"
    )
    rows: bool = Field(default=False, description="keep the edges of a slot below a sum of 1")
    attached: bool = Field(default=False, description="let gradients through edges into reads")
    slots: EraseWrite | None = Field(
        default=EraseWrite(), description="how the slots are written; null: not at all"
    )

    @model_validator(mode="after")
    def _slots_only_say_how(self) -> "Hebbian":
        if self.slots is None:
            return self
        own = {"kind", "erase", "write", "normalise", "keep"}
        fields = EraseWrite.model_fields
        other = [n for n in fields if n not in own and getattr(self.slots, n) != fields[n].default]
        if other:
            raise SpecError(
                f"slots: says how slots are written, {', '.join(sorted(other))} belongs to the"
                " whole: write it beside slots:"
            )
        return self

    def uses(self) -> list[Use]:
        found = uses("step", "scalar", self.step, "how fast edges are learned")
        return found + (self.slots.slot_uses() if self.slots else [])

    def begin(self, weights: Weights, key: torch.Tensor, value: torch.Tensor) -> Buffers:
        found = super().begin(weights, key, value)
        if "active" in weights:
            found["before"] = {"active": torch.zeros_like(weights["active"])}
        return found

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        if token.weights is None or "edges" not in token.weights:
            return step_gradient, {}
        change = self.slots.rewrite(step_gradient, token, None) if self.slots else step_gradient
        edges, active = token.weights["edges"], token.weights["active"]
        before = buffers["before"]["active"]
        if not self.attached:
            active = active.detach()
        rate = token.gates["step"][..., None, None]
        forward = before[..., :, None] * active[..., None, :]
        new = self.keep * edges + rate * forward
        if self.depression:
            new = new - rate * self.depression * forward.transpose(-1, -2)
        new = new.clamp(0.0, self.limit)
        if self.rows:
            new = new / new.sum(-1, keepdim=True).clamp_min(1.0)
        return change | {"edges": new - edges}, {"before": {"active": active}}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        back = f" − {self.depression:g} ā_t ā_{{t−1}}ᵀ" if self.depression else ""
        step = f"{gates['step']} (ā_{{t−1}} ā_tᵀ{back})"
        edges = f"A_t = min(max({self.keep:g} A_{{t−1}} + {step}, 0), {self.limit:g})"
        rows = ["A_t ← A_t / max(its row sums, 1)"] if self.rows else []
        slots = [f"{new} = {retained}"]
        if self.slots is not None:
            slots = self.slots.formula(new, retained, change, gates)
        return [edges, *rows, *slots]
