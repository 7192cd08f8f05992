"""Gradients of many tokens at the same weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Weights
from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.factors import Factor, Start, ending, gradients, moving, still
from miras.plans.recurrence import recurrence
from miras.plans.span import Sides, Span, heads_first, of_tokens, running, sides, spans
from miras.surprise import link, multipliers

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Frozen(Plan):
    """Tokens whose gradients are taken at one anchor, or at weights refreshed every few tokens.

    All these gradients are independent; decay and momentum are linear, so that the weights of token
    i are alpha_i A + F_i S - sum_j G_ij gradient_j. With scalar gates and the identity link a read
    multiplies its input by these sums (the dual form) and no token's weights are written out; with
    a link or gates per channel they are.

    Source: TTT (arXiv 2407.04620), section 2.5; Titans (arXiv 2501.00663), section 3.2.
    """

    kind: Literal["frozen"] = "frozen"
    chunk: int = Field(default=64, ge=1, description="most tokens at a time")
    complexity: ClassVar[str] = "O(size of the state + chunk (inputs + outputs of its layers))"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        return (
            memory.plain
            and step is not None
            and (step.plain or step.heavy_ball)
            and (step.every > 1 or step.chunk > 1)
            and memory.architecture.factored
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e6

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        step = memory.stepping
        assert step is not None
        tokens = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | inputs.gates
        tokens = {name: heads_first(tensor) for name, tensor in tokens.items()}
        constants = {name: constant[:, None] for name, constant in inputs.constants.items()}
        outputs: list[Tensor] = []
        done, count = 0, inputs.key.shape[1]
        while done < count:
            if state.anchor and state.position % step.chunk == 0:
                state = state._replace(anchor=link(memory, state.weights))
            # Up to where the anchor moves or what is read is refreshed.
            periods = [period for period in (step.chunk, step.every) if period > 1]
            until = [period - state.position % period for period in periods]
            size = min(self.chunk, count - done, *until)
            piece = {name: tensor[:, :, done : done + size] for name, tensor in tokens.items()}
            output, state = _piece(memory, piece, constants, state)
            outputs.append(output)
            done += size
        return torch.cat(outputs, dim=2).transpose(1, 2), state


def _piece(
    memory: "Memory", tokens: Weights, constants: Weights, state: "State"
) -> tuple[Tensor, "State"]:
    """Tokens whose gradients are taken at the same weights; only the last may refresh the read."""
    step = memory.stepping
    assert step is not None
    gates = tokens | constants
    at = state.anchor or state.exposed
    factors = gradients(memory, at, tokens["key"], tokens["value"], gates)
    plain = step.plain or memory.retention.decays in (None, "scalar")
    simple = memory.retention.identity_link and plain
    weights, state = (_dual if simple else _written_out)(memory, factors, gates, state)
    count = tokens["key"].shape[2]
    state = state._replace(position=state.position + count)
    if not state.exposed:
        weights = weights if memory.retention.identity_link else link(memory, weights)
        return _read(memory, weights, tokens, constants), state

    old, new = count, 0
    if state.position % step.every == 0:
        old, new = count - 1, 1
    first = {name: tensor[:, :, :old] for name, tensor in tokens.items()}
    last = {name: tensor[:, :, old:] for name, tensor in tokens.items()}
    before = _read(memory, still(state.exposed, old), first, constants)
    if not new:
        return before, state
    state = state._replace(exposed=link(memory, state.weights))
    after = _read(memory, still(state.exposed, new), last, constants)
    return torch.cat((before, after), dim=2), state


def _read(memory: "Memory", weights: Weights, tokens: Weights, constants: Weights) -> Tensor:
    return memory.architecture.read(weights, tokens["query"], tokens | constants)


def _dual(
    memory: "Memory", factors: Mapping[str, Factor], gates: Mapping[str, Tensor], state: "State"
) -> tuple[Weights, "State"]:
    """Accumulator of every token, as functions, and the state after the last."""
    axes = {name: leaf.axes for name, leaf in memory.architecture.leaves(1, 1).items()}

    def fading(found: Mapping[str, Span]) -> dict[str, Sides]:
        return {name: sides(found, along) for name, along in axes.items()}

    momentum, kept = state.buffers.get("momentum"), spans(gates)
    if not momentum:
        decays = fading(kept)
        starts = [Start(state.weights, decays)]
        end = ending(starts, factors, decays)
        return moving(starts, factors, decays), state._replace(weights=end)

    # A decaying sum of decaying sums: the shares of both multiply.
    carried = of_tokens(gates["momentum"])
    shares, first = running(kept.get("", Span()), carried)
    written, alone = fading({"": shares}), fading({"": carried})
    starts = [Start(state.weights, fading(kept)), Start(momentum, fading({"": first}))]
    buffers = {"momentum": ending([Start(momentum, alone)], factors, alone)}
    state = state._replace(weights=ending(starts, factors, written), buffers=buffers)
    return moving(starts, factors, written), state


def _column(by: Tensor, leaf: Tensor) -> Tensor:
    return by.reshape(*by.shape, *[1] * (leaf.ndim - by.ndim))


def _written_out(
    memory: "Memory", factors: Mapping[str, Factor], gates: Mapping[str, Tensor], state: "State"
) -> tuple[Weights, "State"]:
    """Accumulator of every token `[batch, heads, time, *leaf]`, and the state after the last."""
    decays = {axis: gate.flatten(0, 1) for axis, gate in multipliers("decay", gates).items()}
    momentum = state.buffers.get("momentum")
    found: Weights = {}
    after: Weights = {}
    for name, factor in factors.items():
        start = state.weights[name]
        write = -factor.outer().flatten(0, 1)
        one = write.new_ones([1] * write.ndim)
        if momentum:
            carried = gates["momentum"].flatten(0, 1)
            write = recurrence(_column(carried, write), write, momentum[name].flatten(0, 1))
            after[name] = write[:, -1].unflatten(0, start.shape[:2])
        keep = memory.architecture.scale({name: one}, decays)[name]
        sums = recurrence(keep, write, start.flatten(0, 1))
        found[name] = sums.unflatten(0, start.shape[:2])
    buffers = {"momentum": after} if momentum else state.buffers
    end = {name: sums[:, :, -1] for name, sums in found.items()}
    return found, state._replace(weights=end, buffers=buffers)
