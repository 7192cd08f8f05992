"""Writes that grow once more with the next token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.optimizer import Stepping
from miras.plans.chunked import Piece
from miras.plans.outer import Outer
from miras.plans.rows import Rows
from miras.surprise import gated, step_sizes
from miras.token import Buffers, Weights

if TYPE_CHECKING:
    from miras.memory import Memory


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

    def piece(
        self, memory: "Memory", piece: Piece, weights: Weights, buffers: Buffers
    ) -> tuple[Tensor, Weights, Buffers]:
        optimizer = memory.stepping
        assert optimizer is not None
        ((name, start),) = weights.items()
        own, late = optimizer.shares(piece["step"], piece)
        # A step of nothing leaves no direction to remember.
        alive = piece["step"] > torch.finfo(own.dtype).tiny
        again = F.pad(late[..., 1:], (0, 1)) * alive
        key = piece["key"]
        unit = torch.ones_like(key[..., 0])
        first, twice = (
            step_sizes(optimizer, {"step": size}, unit, key.shape[-1])[""]
            for size in (late[..., :1], again)
        )
        start = start - first[..., None] * buffers["before"][name]
        both = piece | {"step": own + again}
        output, weights, _ = super().piece(memory, both, {name: start}, {})
        bias = memory.bias
        gates = {use.name: piece[use.name] for use in bias.uses()}
        gates |= {signal.name: piece[signal.name] for signal in bias.constants(1, 1, 1)}
        target = gated(piece["value"], "write", piece)
        target = -bias.error(torch.zeros_like(target), target, gates)
        query = memory.architecture.aim(piece["query"], key, piece)
        met = (query * key).sum(-1) * twice
        left = alive[..., -1:, None] * target[..., -1:, :].mT @ key[..., -1:, :]
        return output - met[..., None] * target, weights, {"before": {name: -left}}
