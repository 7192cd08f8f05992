"""Matrix memories whose weights flow through a chain of levels."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import torch
from torch import Tensor

from miras.optimizer import Stepping
from miras.plans.chunked import Piece
from miras.plans.delta import Delta
from miras.plans.linear import Linear
from miras.plans.outer import Outer
from miras.plans.rows import Rows, rows_of
from miras.plans.substitution import Substitution
from miras.retention import Retention
from miras.token import Buffers, Weights

if TYPE_CHECKING:
    from miras.memory import Memory


class Chain(Outer):
    """A constant linear map F mixes the weights with the levels below them, before each write.

    With F^n in the place of the decay over n tokens that is linear attention, or the delta rule, in
    chunks: the weights of token i are sum_l (F^i)_0l level_l + sum_j<=i (F^(i-j))_00 u_j b_j^T, and
    after the chunk each level is such a sum with its own row of the powers.

    Source: own derivation, from the chain of Benna and Fusi (Nature Neuroscience 2016) and the
    chunks of GLA (arXiv 2312.06635), section 4.
    """

    kind: Literal["chain"] = "chain"
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + levels key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        architecture = memory.architecture
        return super().fits(memory) and not (architecture.turns or architecture.backwards)

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e4

    def keeps(self, retention: Retention) -> bool:
        return bool(retention.chained)

    def knows(self, step: Stepping) -> bool:
        return step.plain

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        plan: Outer = Substitution()
        if not self.looks(memory):
            plan = Linear()
        elif memory.bias.linear and rows.step is None:
            plan = Delta()
        return plan.solve(memory, rows, gram, known)

    def piece(
        self, memory: "Memory", piece: Piece, weights: Weights, buffers: Buffers
    ) -> tuple[Tensor, Weights, Buffers]:
        architecture, optimizer = memory.architecture, memory.stepping
        assert optimizer is not None
        ((name, start),) = weights.items()
        group = memory.retention.chained
        rows = rows_of(memory, optimizer, piece)
        along = rows.along
        levels = torch.cat((start[:, :, None], buffers[group][name]), dim=2)
        powers = _Powers.of(memory.retention, along)

        at = 0 if optimizer.gradient_at == "retained" else 1
        gram = known = along
        if self.looks(memory):
            gram = powers.pairs(rows.address, along, at)
            known = powers.start(rows.address, levels, at)
        update = self.solve(memory, rows, gram, known)

        query = architecture.aim(piece["query"], piece["key"], piece)
        before = int(optimizer.read == "before")
        output = powers.start(query, levels, before)
        output = output + powers.pairs(query, along, before) @ update
        local = architecture.local(piece["query"], piece["key"], piece["value"], piece)
        output = architecture.let_out(output if local is None else output + local, piece)
        after = powers.after(levels, along, update)
        return output, {name: after[:, :, 0]}, {group: {name: after[:, :, 1:]}}


class _Powers(NamedTuple):
    """F^n for n = 0..C, `[C + 1, levels, levels]`."""

    powers: Tensor

    @staticmethod
    def of(retention: Retention, tokens: Tensor) -> "_Powers":
        """For the tokens of a chunk `[..., C, size]`."""
        count = tokens.shape[-2]
        flow = retention.transition(tokens.new_ones((), dtype=torch.float64))
        found = torch.eye(len(flow), dtype=flow.dtype, device=flow.device)[None]
        while len(found) <= count:
            found = torch.cat((found, found @ (found[-1] @ flow)))
        return _Powers(found[: count + 1].to(tokens.dtype))

    def start(self, x: Tensor, levels: Tensor, late: int) -> Tensor:
        """What the levels at the start answer to x `[..., C, columns]`, `late` tokens earlier."""
        count = x.shape[-2]
        share = self.powers[1 - late : count + 1 - late, 0]
        asked = (share[:, :, None] * x[..., None, :]).flatten(-2)
        return asked @ levels.transpose(2, 3).flatten(-2).mT

    def pairs(self, x: Tensor, along: Tensor, late: int) -> Tensor:
        """x_i . b_j and what is left of b_j by then, `[..., C, C]`; 0 where j is to come."""
        place = torch.arange(x.shape[-2], device=x.device)
        passed = place[:, None] - place - late
        left = torch.where(passed < 0, 0.0, self.powers[passed.clamp_min(0), 0, 0])
        return (x @ along.mT) * left

    def after(self, levels: Tensor, along: Tensor, update: Tensor) -> Tensor:
        """All levels `[..., levels, rows, columns]` at the end of the chunk."""
        count = along.shape[-2]
        kept = self.powers[count] @ levels.flatten(-2)
        share = self.powers[:count, :, 0].flip(0)
        written = (share[:, :, None] * update[..., None, :]).flatten(-2).mT @ along
        sizes: Any = levels.shape[-3:]
        return (kept + cast(Any, written).reshape(kept.shape)).unflatten(-1, sizes[1:])
