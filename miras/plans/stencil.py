"""Writes that grow once more with the next token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared
from miras.optimizer import Stepping
from miras.plans.outer import Outer
from miras.plans.rows import Rows
from miras.surprise import gated, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Stencil(Outer):
    """Linear attention in which token j writes twice, a part of it when token j + 1 comes.

    Later tokens see both parts, the token itself sees the first: one linear attention with the sum
    of both, from which each token's own read takes the second back. What the token before a chunk
    still has to write joins the memory before the chunk decays.

    Source: catalogue rule R11; Mamba-3 (Lahoti et al. 2026).
    """

    kind: Literal["stencil"] = "stencil"
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        simple = step is not None and step.step_axis == "scalar" and step.read == "after"
        simple = simple and not memory.architecture.backwards
        return simple and super().fits(memory) and not self.looks(memory)

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 500.0 + 20.0 * (key_dim + value_dim)

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        return rows.value

    def knows(self, step: Stepping) -> bool:
        return step.trails

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        optimizer, bias = memory.stepping, memory.bias
        assert optimizer is not None
        ((name, start),) = state.weights.items()
        step, key = inputs.gates["step"], inputs.key
        own, late = optimizer.shares(step, inputs.gates)
        # A step of nothing leaves no direction to remember.
        alive = step > torch.finfo(own.dtype).tiny
        again = torch.cat((late[:, 1:], torch.zeros_like(late[:, :1])), dim=1) * alive
        unit = torch.ones_like(key[..., 0])
        first, twice = (
            step_sizes(optimizer, {"step": size}, unit, key.shape[-1])[""]
            for size in (late[:, 0], again)
        )
        start = start - first[..., None, None] * state.buffers["before"][name]
        gates = inputs.gates | {"step": own + again}
        output, after = super().run(
            memory, inputs._replace(gates=gates), state._replace(weights={name: start}, buffers={})
        )
        tokens = inputs.gates | inputs.constants
        target = gated(inputs.value, "write", tokens)
        target = -bias.error(torch.zeros_like(target), target, tokens)
        query = memory.architecture.aim(inputs.query, key, tokens)
        met = (query * key).sum(-1) * twice
        left = (alive[:, -1, :, None] * target[:, -1])[..., :, None] * key[:, -1, :, None, :]
        after = after._replace(buffers={"before": {name: -left}})
        return output - met[..., None] * target, after
