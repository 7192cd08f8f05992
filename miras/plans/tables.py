"""Slots that are written where their tokens say."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture.slots import TINY, Slots
from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.chunked import Carried, Piece, chunked
from miras.plans.reach import Reach
from miras.plans.span import laid_out, sides, spans
from miras.surprise import gated, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Tables(Plan):
    """The tables of keys and values beside each other are one matrix memory, asked by slots.

    A token writes (k, v) along its address: linear attention, or the delta rule, in chunks. A read
    goes through it twice: backwards from the query to the similarity of every slot, and forwards
    from the weights of the slots to the answer. The table of no token is written out.

    Source: GSA (arXiv 2409.07146), section 3.2, two passes of gated linear attention.
    """

    kind: Literal["tables"] = "tables"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O((chunk + slots) (key_dim + value_dim) + chunk slots)"

    def fits(self, memory: "Memory") -> bool:
        step, bias, retention = memory.stepping, memory.bias, memory.retention
        return (
            memory.architecture.tables
            and isinstance(memory.architecture, Slots)
            and step is not None
            and step.plain
            and step.open.literal
            and step.erase is None
            and (step.every, step.chunk) == (1, 1)
            and step.step_axis in ("scalar", "slot")
            and bias.plain
            and (bias.linear or not bias.residual)
            and not bias.guarded
            and retention.plain
            and retention.identity_link
            and retention.decays in (None, "scalar", "slot")
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 60.0 * (self.chunk + key_dim + value_dim + memory.architecture.slots)

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        tokens, constants = laid_out(inputs)
        leaves = [leaf if leaf.ndim == 4 else leaf[..., None] for leaf in state.weights.values()]
        sizes = [leaf.shape[-1] for leaf in leaves]

        def step(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
            output, after = self.piece(memory, piece, carried[0], sizes)
            return output, (after,)

        joined = torch.cat(leaves, dim=-1).mT
        output, (after,) = chunked(step, tokens, constants, (joined,), self.chunk)
        parts = cast(Any, after.mT).split(sizes, dim=-1)
        weights = {
            name: part.reshape(leaf.shape)
            for (name, leaf), part in zip(state.weights.items(), parts, strict=True)
        }
        position = state.position + inputs.key.shape[1]
        return output.transpose(1, 2), state._replace(position=position, weights=weights)

    def piece(
        self, memory: "Memory", piece: Piece, start: Tensor, sizes: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Outputs of a chunk, and the tables `[..., key + value (+ 1), slots]` after it."""
        architecture, step, bias = memory.architecture, memory.stepping, memory.bias
        assert step is not None and isinstance(architecture, Slots)
        key, value = piece["key"], gated(piece["value"], "write", piece)
        address = architecture.written({}, key, piece)
        sensitivity = architecture.sensitivity({}, key, piece)
        along = address
        for axis, size in step_sizes(step, piece, sensitivity, key.shape[-1]).items():
            along = along * (size if axis == "slot" else size[..., None])
        target = architecture.target(key, value)

        fading = sides(spans(piece), ("value", "slot"))
        now = Reach([(start, fading)], fading)
        if bias.residual:
            found = fading if step.gradient_at == "retained" else fading.delayed()
            at = Reach([(start, found)], found)
            gram = at.written.columns.pairs(address, along)
            solver = cast(Any, torch.linalg.solve_triangular)
            target = solver(gram, target - at.start(address), upper=False, unitriangular=True)
        else:
            target = bias.written(target, piece)
        output = _read(architecture, now, piece["query"], along, target, sizes, step.read)
        local = architecture.local(piece["query"], key, piece["value"], piece)
        output = output if local is None else output + local
        return architecture.let_out(output, piece), now.after(along, target)


def _read(
    architecture: Slots,
    reach: Reach,
    query: Tensor,
    along: Tensor,
    update: Tensor,
    sizes: list[int],
    when: str,
) -> Tensor:
    """Answers `[..., C, value]` of slots that were written rows `update` along `along`."""
    own = when == "after"
    if not own:
        starts = [(weights, fading.delayed()) for weights, fading in reach.starts]
        reach = Reach(starts, reach.written.delayed())
    ((start, fading),) = reach.starts
    tables = cast(Any, start).split(sizes, dim=-2)
    updates = cast(Any, update).split(sizes, dim=-1)

    def part(place: int) -> Reach:
        return Reach([(tables[place], fading)], reach.written)

    def slots(place: int, asked: Tensor) -> Tensor:
        """What every slot `[..., C, slots]` answers with one of its tables."""
        return part(place).turned().read(asked, updates[place], along, own=own)

    similarities = slots(0, query)
    total = None
    if len(sizes) > 2:
        total = slots(2, torch.ones_like(query[..., :1])).clamp_min(TINY)
        similarities = similarities / total
    weight = architecture.weighed(similarities, query.shape[-1])
    weight = weight if total is None else weight / total
    return part(1).read(weight, along, updates[1], own=own)
