"""Several memories side by side, their reads mixed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Own
from miras.gate import AnyGate, Signal
from miras.gate.constant import Constant

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Parallel(Composition):
    """y_t = sum_i g_i,t M_i(q_t): every cell reads and writes every token.

    `mix` makes one number per cell, head and token. `combine: share` divides them by their sum, so
    that with an exponential gate they are a softmax; `product` takes the first read times the
    sigmoid of each other one. `norm` puts each read on unit mean square and a learned scale first.

    Source: banks of leaky states as in RetNet (arXiv 2307.08621); global and local memory of TNT
    (arXiv 2511.07343); memory as a gate, Titans (arXiv 2501.00663), section 4.2.
    """

    compose: Literal["parallel"] = "parallel"
    of: tuple["AnyCell", ...] = Field(min_length=2, description="the memories")
    mix: AnyGate = Field(default=Constant(), description="weight of each read")
    combine: Literal["sum", "share", "product"] = Field(
        default="sum", description="weighted sum, weighted mean, or first read gated by the others"
    )
    norm: bool = Field(default=False, description="RMS norm of each cell's read before mixing")

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return self.of

    def own(self) -> list[Own]:
        return [Own("mix", self.mix, len(self.of), 0.0, torch.inf, "weight of each cell's read")]

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        if not self.norm:
            return []
        shape, bound = (heads, len(self.of), value_dim), torch.inf
        return [Signal("scale", shape, -bound, bound, False, "scale of each read", mean=1.0)]

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        reads: list[Tensor] = []
        after: list[object] = []
        for place, cell in enumerate(self.of):
            read, new = engine.run(cell, *inputs[:3], inputs.of(place), state.cells[place])
            reads.append(read)
            after.append(new)
        return self._mixed(torch.stack(reads, dim=-2), inputs.gates), state._replace(
            position=state.position + inputs.key.shape[1], cells=tuple(after)
        )

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        size = inputs.value.shape[-1]
        reads = [
            engine.ask(cell, inputs.query, inputs.of(place), state.cells[place], size)
            for place, cell in enumerate(self.of)
        ]
        return self._mixed(torch.stack(reads, dim=-2), inputs.gates)

    def _mixed(self, reads: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """reads `[batch, time, heads, cells, value_dim]`."""
        if self.norm:
            reads = F.rms_norm(reads, reads.shape[-1:], eps=1e-5) * gates["scale"]
        reads = reads * gates["mix"][..., None]
        if self.combine == "product":
            return reads[..., 0, :] * reads[..., 1:, :].sigmoid().prod(-2)
        total = reads.sum(-2)
        return total / gates["mix"].sum(-1, keepdim=True) if self.combine == "share" else total

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        read = "norm(M_i(q_t))" if self.norm else "M_i(q_t)"
        lines = {
            "sum": f"y_t = Σ_i g_{{i,t}} {read}",
            "share": f"y_t = Σ_i g_{{i,t}} {read} / Σ_i g_{{i,t}}",
            "product": f"y_t = g_{{0,t}} {read.replace('_i', '_0')} ⊙ Π_(i>0) σ(g_{{i,t}} {read})",
        }
        return (), (lines[self.combine],), ("g_{i,t}: weight of the read of cell i",)
