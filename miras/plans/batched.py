"""Whole batches at once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from miras import batch
from miras.architecture import Gates
from miras.definition import Prepared
from miras.optimizer import Stepping
from miras.plans import Plan
from miras.plans.span import laid_out
from miras.state import State, carried
from miras.surprise import guard, step_sizes
from miras.token import Buffers, Token, Weights

if TYPE_CHECKING:
    from miras.memory import Memory


class Batched(Plan):
    """Weights that change once per batch: its tokens are read and learned side by side.

    All gradients of a batch are taken at the weights before it, so that time is one more dimension
    of the same prediction, and the sum of the gradients is one product. Nothing may happen to the
    weights between two steps; at a step they may be projected. A memory that is never written is
    one batch.

    Source: the chunks of FwPKM (arXiv 2601.00671); mini-batches of TTT (arXiv 2407.04620), section
    2.4, where the next one starts from the summed step.
    """

    kind: Literal["batched"] = "batched"
    most: int = Field(default=4096, ge=1, description="most tokens at a time")
    complexity: ClassVar[str] = "O(prediction + size of the state / batch)"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        return (
            step is not None
            and memory.architecture.together
            and (step.batch > 1 or _still(memory, step))
            and (step.plain or step.heavy_ball or step.transforms or step.of_slots)
            and _otherwise(step).literal
            and (step.every, step.chunk, step.step_axis) == (1, 1, "scalar")
            and (memory.architecture.plain or memory.architecture.slots > 0)
            and memory.bias.window == 1
            and memory.retention.decays is None
            and (memory.retention.plain or memory.retention.settles)
            and memory.retention.identity_link
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e6

    def run(self, memory: "Memory", inputs: Prepared, state: State) -> tuple[Tensor, State]:
        step = memory.stepping
        assert step is not None
        tokens, constants = laid_out(inputs)
        outputs: list[Tensor] = []
        done, count = 0, inputs.key.shape[1]
        still = _still(memory, step)
        while done < count:
            size = min(self.most, count - done)
            if not still:
                size = min(size, step.batch - state.position % step.batch)
            piece = _Piece(memory, step, constants, _part(tokens, done, done + size))
            output, state = piece.run(state, still)
            outputs.append(output)
            done += size
        return torch.cat(outputs, dim=2).transpose(1, 2), state


def _otherwise(step: Stepping) -> Stepping:
    """The optimizer without what this plan is for."""
    alone = {"batch": 1, "passes": 1, "read": "after", "shared": False}
    return step.model_copy(update=alone)


def _still(memory: "Memory", step: Stepping) -> bool:
    """Whether the weights never change."""
    frozen = step.step.fixed == 0 and step.plain and step.batch == 1
    return frozen and memory.retention.plain and not memory.architecture.balances


def _part(tokens: Weights, first: int, last: int) -> Weights:
    return {name: tensor[:, :, first:last] for name, tensor in tokens.items()}


def _wide(weights: Weights) -> Weights:
    """Weights `[batch, heads, 1, ...]`, to be asked by all tokens of a piece."""
    return {name: leaf.unsqueeze(2) for name, leaf in weights.items()}


class _Piece(NamedTuple):
    """Tokens within one batch, heads first."""

    memory: "Memory"
    step: Stepping
    constants: Gates
    tokens: Weights

    @property
    def length(self) -> int:
        return self.tokens["key"].shape[2]

    def run(self, state: State, still: bool) -> tuple[Tensor, State]:
        """Outputs of the piece, and the state after it."""
        after = self.learn(state, still)
        early = self.step.read == "before" or still or after.position % self.step.batch
        late = 0 if early else 1  # the last token of a batch reads what the batch has written
        output = self.read(state, 0, self.length - late)
        if late:
            last = self.read(after, self.length - 1, self.length)
            output = torch.cat((output, last), dim=2)
        return output, after

    def read(self, state: State, first: int, last: int) -> Tensor:
        """Answers `[batch, heads, tokens, value]`."""
        tokens, architecture = _part(self.tokens, first, last), self.memory.architecture
        gates = {**tokens, **self.constants}
        query = architecture.aim(tokens["query"], tokens["key"], gates)
        output = architecture.read(_wide(state.weights), query, gates)
        local = architecture.local(tokens["query"], tokens["key"], tokens["value"], gates)
        output = output if local is None else output + local
        return architecture.let_out(output, gates)

    def learn(self, state: State, still: bool) -> State:
        """The state after the piece."""
        step, buffers, weights = self.step, state.buffers, state.weights
        pairs, buffers = self.pairs(state, buffers)
        position = state.position + self.length
        if still:
            return state._replace(position=position, buffers=buffers)
        due = position % step.batch == 0
        if pairs["key"].shape[2]:
            if "batch" in buffers:
                buffers = batch.join(buffers, pairs)
            gradient, buffers = self.gradient(weights, pairs, buffers)
            if due:
                gradient = self.crowded(weights, gradient, buffers)
            buffers = buffers | {"summed": _sum(buffers["summed"], self.shared(gradient))}
        if due:
            weights, buffers = self.move(weights, buffers, position)
            for _ in range(step.passes - 1):
                gradient, buffers = self.gradient(weights, buffers["batch"], buffers)
                gradient = self.crowded(weights, gradient, buffers)
                buffers = buffers | {"summed": self.shared(gradient)}
                weights, buffers = self.move(weights, buffers, position)
            buffers = batch.emptied(buffers)
        return state._replace(position=position, weights=weights, buffers=buffers)

    def pairs(self, state: State, buffers: Buffers) -> tuple[Weights, Buffers]:
        """What is learned at the tokens of the piece, and what waits for a value after it."""
        found = {name: leaf for name, leaf in self.tokens.items() if name != "query"}
        if self.memory.bias.target != "next_value":
            return found, buffers
        names = ["key", *(use.name for use in carried(self.memory))]
        waiting = {name: found[name][:, :, -1] for name in names}
        for name in names:
            past = buffers["previous"][name].unsqueeze(2)
            found[name] = torch.cat((past, found[name][:, :, :-1]), dim=2)
        first = 0 if state.position else 1
        return _part(found, first, self.length), buffers | {"previous": waiting}

    def gradient(
        self, weights: Weights, pairs: Mapping[str, Tensor], buffers: Buffers
    ) -> tuple[Weights, Buffers]:
        """Steps times gradients of some pairs, summed, and the buffers that counted them."""
        memory, architecture = self.memory, self.memory.architecture
        gates, key, value, at = {**pairs, **self.constants}, pairs["key"], pairs["value"], weights
        prediction, pull = architecture.respond(_wide(at), key, gates)
        if memory.bias.target == "self_generated":
            value = architecture.predict(_wide(at), value, gates)
        target = architecture.target(key, value)
        limit, sensitivity = None, torch.ones_like(key[..., 0])
        if memory.bias.guarded:
            sensitivity = architecture.sensitivity(_wide(at), key, gates)
        steps = step_sizes(self.step, gates, sensitivity, key.shape[-1])
        if memory.bias.guarded:
            limit = guard(memory, steps, sensitivity)
        error = memory.bias.error(prediction, target, gates, limit)
        found = {n: leaf.squeeze(2) for n, leaf in pull(steps[""][..., None] * error).items()}
        if self.step.of_slots:
            counts = architecture.counts(at, key, gates)
            assert counts is not None
            buffers = buffers | self.step.visit(buffers, counts)
        return found, buffers

    def crowded(self, weights: Weights, gradient: Weights, buffers: Buffers) -> Weights:
        """The gradient with that of the architecture's own objective."""
        if not self.memory.architecture.balances:
            return gradient
        keys = buffers["batch"]["key"]
        return gradient | _sum(
            self.memory.architecture.crowding(weights, keys, self.step.shared), gradient
        )

    def shared(self, gradient: Weights) -> Weights:
        """The gradient of all sequences, in a memory that they share."""
        if not self.step.shared:
            return gradient
        return {n: leaf.sum(0, keepdim=True).expand_as(leaf) for n, leaf in gradient.items()}

    def move(self, weights: Weights, buffers: Buffers, position: int) -> tuple[Weights, Buffers]:
        """Accumulator and buffers after one step with all that was summed."""
        last = {name: tensor[:, :, -1] for name, tensor in self.tokens.items()}
        gates = last | {name: constant[:, 0] for name, constant in self.constants.items()}
        token = Token(
            last["query"], last["key"], last["value"], gates, position - 1, weights=weights
        )
        change, after = self.step.update(buffers["summed"], buffers, token)
        nothing = {name: torch.zeros_like(leaf) for name, leaf in buffers["summed"].items()}
        buffers = buffers | after | {"summed": nothing}
        weights, buffers = self.memory.retention.settle(_sum(weights, change), buffers, token)
        return weights, buffers


def _sum(some: Weights, others: Weights) -> Weights:
    return {name: leaf + others[name] for name, leaf in some.items()}
