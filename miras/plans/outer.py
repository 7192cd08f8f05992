"""Matrix memories to which every token writes rows that its inputs and few predictions decide."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor

from miras.definition import Prepared
from miras.optimizer import Stepping
from miras.plans import Plan, whole
from miras.plans.chunked import Piece, grouped
from miras.plans.reach import Reach
from miras.plans.rows import Frame, Rows, asks_early, each_of, erasing, first_of, in_chunk, rows_of
from miras.plans.span import Sides, Span, laid_out, of_tokens, running, sides, spans
from miras.retention import Retention
from miras.surprise import multipliers
from miras.token import Buffers, Weights

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Outer(Plan, ABC):
    """The weights of token i are those of the chunk's start, faded, plus sum_j<=i D_ij u_j b_j^T.

    Once the rows u are known, all reads of the chunk and the weights after it are products of
    matrices. A plan of this kind says how the rows are found.
    """

    chunk: int = Field(default=32, ge=1, description="tokens per chunk")

    def fits(self, memory: "Memory") -> bool:
        architecture, step, retention = memory.architecture, memory.stepping, memory.retention
        if step is None or memory.recurrent or not (architecture.linear and architecture.keyed):
            return False
        plain = memory.bias.plain and self.keeps(retention)
        if not (plain and self.knows(step) and retention.identity_link and architecture.of_tokens):
            return False
        if not step.open.literal or (step.every, step.chunk) != (1, 1):
            return False
        if step.carries and (retention.decays in ("key", "value", "both") or retention.removes):
            return False
        if architecture.turns:
            early = step.read == "before" or step.gradient_at != "retained"
            if early or retention.decays not in (None, "scalar") or retention.removes:
                return False
        if self.looks(memory) and retention.decays in ("value", "both"):
            return False
        # A removal and a gradient must look at the same weights, if both look.
        looks = memory.bias.residual or step.erases
        return not (retention.removes and looks and step.gradient_at != "retained")

    def keeps(self, retention: Retention) -> bool:
        """Whether this plan can follow what a retention does between two writes."""
        return retention.plain or bool(retention.removes)

    def knows(self, step: Stepping) -> bool:
        """Whether this plan can follow the steps of an optimizer."""
        if step.directed:
            return step.step_axis == "scalar"
        return step.plain or step.heavy_ball or step.each_write or step.erases

    @abstractmethod
    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        """The rows u `[..., C, value_dim]`; of `gram` only what is below the diagonal counts.

        `known` is what the chunk's start alone answers to the addresses, `gram [..., C, C]` what
        u_j (column) adds to the answer to address i (row).
        """

    def looks(self, memory: "Memory") -> bool:
        """Whether rows depend on what the memory answers."""
        return memory.bias.residual or erasing(memory) or bool(memory.retention.removes)

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        if whole.fits(memory, inputs):
            return whole.run(memory, inputs, state, looks=self.looks(memory))
        tokens, constants = laid_out(inputs)

        def step(piece: Piece, groups: Buffers) -> tuple[Tensor, Buffers]:
            buffers = dict(groups)
            weights = buffers.pop("weights")
            output, weights, buffers = self.piece(memory, piece, weights, buffers)
            return output, {"weights": weights, **buffers}

        groups = {"weights": state.weights, **state.buffers}
        output, buffers = grouped(step, tokens, constants, groups, self.chunk)
        weights = buffers.pop("weights")
        position = state.position + inputs.key.shape[1]
        state = state._replace(position=position, weights=weights, buffers=buffers)
        return output.transpose(1, 2), state

    def piece(
        self, memory: "Memory", piece: Piece, weights: Weights, buffers: Buffers
    ) -> tuple[Tensor, Weights, Buffers]:
        """One chunk: outputs, and weights and buffers after it."""
        architecture, optimizer = memory.architecture, memory.stepping
        assert optimizer is not None
        ((name, start),) = weights.items()
        directions: Tensor | None = None
        if optimizer.directed:
            directions, moved = optimizer.directions(piece["key"], piece, buffers, in_chunk)
            buffers = buffers | moved
        rows = rows_of(memory, optimizer, piece, directions)
        along = rows.along
        count = along.shape[2] // piece["key"].shape[2]
        frame = Frame.of(piece["rotation"]) if architecture.turns else None
        query = architecture.aim(piece["query"], piece["key"], piece)
        if frame is not None:
            query = frame.entered(query, 1)
            address, along = (frame.entered(x, count) for x in (rows.address, along))
            rows = rows._replace(address=address)

        sums = buffers["momentum"][name] if "momentum" in buffers else None
        now, at, own = self.reaches(memory, piece, start, sums, count)
        gram = known = along
        if self.looks(memory):
            gram = at.written.columns.pairs(rows.address, along)
            known = at.start(rows.address)
        update = self.solve(memory, rows, gram, known)

        output = self.answer(memory, now, query, along, update, count)
        local = architecture.local(piece["query"], piece["key"], piece["value"], piece)
        output = architecture.let_out(output if local is None else output + local, piece)
        after = now.after(along, update)
        weights = {name: after if frame is None else frame.left(after)}
        if own is not None:
            after = own.after(along, update)
            buffers = buffers | {"momentum": {name: after if frame is None else frame.left(after)}}
        return output, weights, buffers

    def reaches(
        self,
        memory: "Memory",
        piece: Piece,
        weights: Tensor,
        sums: Tensor | None,
        count: int,
    ) -> tuple[Reach, Reach, Reach | None]:
        """What is read after a write, where the gradient is taken, and the running sum alone."""
        decays = {
            f"decay_{axis}" if axis else "decay": first_of(gate, count)
            for axis, gate in multipliers("decay", piece).items()
        }
        fading = sides(spans(decays), ("value", "key"))
        early = asks_early(memory)
        if sums is None:
            found = fading.delayed() if early else fading
            return Reach([(weights, fading)], fading), Reach([(weights, found)], found), None
        none = Span()
        carry = of_tokens(each_of(piece["momentum"], count))
        written, first = running(fading.columns, carry)
        now = Reach([(weights, fading), (sums, Sides(none, first))], Sides(none, written))
        own = None if early or "decay" not in decays else decays["decay"][..., None]
        kept = Sides(none, fading.columns.delayed().times(own))
        late = Sides(none, first.delayed(0.0).times(own))
        at_written = Sides(none, written.delayed().times(own))
        at = Reach([(weights, kept), (sums, late)], at_written)
        alone = Sides(none, carry)
        return now, at, Reach([(sums, alone)], alone)

    def answer(
        self,
        memory: "Memory",
        reach: Reach,
        query: Tensor,
        along: Tensor,
        update: Tensor,
        count: int,
    ) -> Tensor:
        """What the memory reads at each token, of `count` rows each."""
        optimizer = memory.stepping
        assert optimizer is not None
        before = optimizer.read == "before"
        if before:
            # A running sum has not reached the weights before the first token.
            firsts = (1.0, 0.0)[: len(reach.starts)]
            starts = [
                (weights, fading.delayed(first))
                for (weights, fading), first in zip(reach.starts, firsts, strict=True)
            ]
            reach = Reach(starts, reach.written.delayed())
        if memory.architecture.backwards:
            reach, along, update = reach.turned(), update, along
        found = reach.read(each_of(query, count), along, update, own=not before)
        return found if count == 1 else found[..., (0 if before else count - 1) :: count, :]
