"""Gradients of many tokens at the same weights."""

from collections.abc import Mapping
from math import lcm
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Weights
from miras.definition import Prepared
from miras.optimizer import Stepping
from miras.plans import Plan, deep, network
from miras.plans.chunked import Piece, again, grouped
from miras.plans.factors import Factor, Start, ending, gradients, late, moving, sized, still
from miras.plans.learned import banded, learned
from miras.plans.moving import Moving, alone, scalar
from miras.plans.recurrence import recurrence
from miras.plans.span import Sides, Span, laid_out, of_tokens, running, sides, spans
from miras.surprise import link, multipliers, step_sizes
from miras.token import Buffers

WRITTEN_OUT = 16
"""Most tokens at a time whose weights are all written out."""

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Frozen(Plan):
    """Tokens whose gradients are taken at one anchor, or at weights refreshed every few tokens.

    All these gradients are independent; decay and momentum are linear, so that the weights of token
    i are alpha_i A + F_i S - sum_j G_ij gradient_j. With scalar gates and the identity link a read
    multiplies its input by these sums (the dual form) and no token's weights are written out; with
    a link or gates per channel they are, and where an optimizer reshapes its running sum.

    A loss over a window makes G a product with a band. Gradients that do not depend on the weights
    at all (a linear memory, an error without residual) need no anchor. On the way back periods
    run again from the state before them.

    Source: TTT (arXiv 2407.04620), section 2.5; Titans (arXiv 2501.00663), section 3.2; the band
    Atlas (arXiv 2505.23735), the Omega rule.
    """

    kind: Literal["frozen"] = "frozen"
    chunk: int = Field(default=64, ge=1, description="most tokens at a time")
    complexity: ClassVar[str] = "O(size of the state + chunk (inputs + outputs of its layers))"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        return (
            step is not None
            and step.literal
            and memory.architecture.plain
            and memory.retention.plain
            and (step.plain or step.heavy_ball or step.transforms)
            and (step.every > 1 or step.chunk > 1 or _anywhere(memory))
            and memory.architecture.factored
            and not memory.recurrent
            and _pairs_fit(memory, step)
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e6

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        step = memory.stepping
        assert step is not None
        if deep.fits(memory, inputs, state):
            return deep.run(memory, inputs, state, self.run)
        tokens, constants = laid_out(inputs)
        count, outputs = inputs.key.shape[1], list[Tensor]()
        period = lcm(*(each for each in (step.chunk, step.every) if each > 1))
        period = period if period > 1 else self.chunk

        # Periods in which every token has all its pairs; what is left of the last keeps its anchor.
        first = max(memory.bias.window - 1, int(memory.bias.target == "next_value"))
        first = -(-max(first, state.position) // period) * period - state.position
        period *= max(1, self.chunk // period)  # short ones together: fewer states to keep
        whole = max(0, (count - first - 1) // period * period)
        for some, many in ((first, False), (whole, True), (count, False)):
            part = {name: leaf[:, :, :some] for name, leaf in tokens.items()}
            if part["key"].shape[2] == 0:
                continue
            tokens = {name: leaf[:, :, some:] for name, leaf in tokens.items()}
            if many:
                output, state = self.periods(memory, part, constants, state, period)
            else:
                output, state = self.through(memory, part, constants, state)
            outputs.append(output)
        return torch.cat(outputs, dim=2).transpose(1, 2), state

    def periods(
        self, memory: "Memory", tokens: Piece, constants: Weights, state: "State", period: int
    ) -> tuple[Tensor, "State"]:
        """Whole periods; the anchor of the last is left out, for tokens follow."""

        def filled(groups: Buffers) -> "State":
            buffers = dict(groups)
            weights, exposed = buffers.pop("weights"), buffers.pop("exposed")
            return state._replace(weights=weights, exposed=exposed, buffers=buffers)

        def step(piece: Piece, groups: Buffers) -> tuple[Tensor, Buffers]:
            some = {name: piece[name] for name in tokens}
            fixed = {name: piece[name] for name in constants}
            output, after = self.through(memory, some, fixed, filled(groups))
            return output, {"weights": after.weights, "exposed": after.exposed, **after.buffers}

        groups = {"weights": state.weights, "exposed": state.exposed, **state.buffers}
        output, after = grouped(step, tokens, constants, groups, period)
        count = tokens["key"].shape[2]
        return output, filled(after)._replace(position=state.position + count)

    def through(
        self, memory: "Memory", tokens: Piece, constants: Weights, state: "State"
    ) -> tuple[Tensor, "State"]:
        """Tokens piece by piece, each up to where an anchor moves or what is read is refreshed."""
        step = memory.stepping
        assert step is not None
        outputs: list[Tensor] = []
        done, count = 0, tokens["key"].shape[2]
        most = self.chunk if _simple(memory, step) else min(self.chunk, WRITTEN_OUT)
        while done < count:
            if state.anchor and state.position % step.chunk == 0:
                state = state._replace(anchor=link(memory, state.weights))
            until = [n - state.position % n for n in (step.chunk, step.every) if n > 1]
            size = min(most, count - done, *until)
            piece = {name: tensor[:, :, done : done + size] for name, tensor in tokens.items()}
            last = done + size == count
            output, state = _piece(memory, piece, constants, state, again() and last)
            outputs.append(output)
            done += size
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2), state


def _anywhere(memory: "Memory") -> bool:
    """Whether gradients are the same at all weights, in memories for which others have no plan."""
    return memory.architecture.affine and not memory.bias.residual and not memory.plain


def _pairs_fit(memory: "Memory", step: Stepping) -> bool:
    """Whether a gradient is known but for the step, whatever else a token learns."""
    bias = memory.bias
    if bias.window > 1:
        own = type(step).effective is Stepping.effective
        return bias.target != "self_generated" and own and not bias.guarded
    return bias.target != "next_value" or step.plain


def _simple(memory: "Memory", step: Stepping) -> bool:
    """Whether weights need not be written out."""
    scalar = memory.retention.decays in (None, "scalar")
    if memory.bias.window > 1:
        scalar = scalar and step.step_axis == "scalar"
        return memory.retention.identity_link and scalar and not step.transforms
    return memory.retention.identity_link and (step.plain or (step.heavy_ball and scalar))


def _piece(
    memory: "Memory", tokens: Weights, constants: Weights, state: "State", bare: bool
) -> tuple[Tensor, "State"]:
    """Tokens whose gradients are taken at the same weights; only the last may refresh the read.

    `bare`: nobody looks at the numbers of the state after them.
    """
    step = memory.stepping
    assert step is not None
    at = state.anchor or state.exposed or link(memory, state.weights)
    pairs = learned(memory, tokens, state)
    gates = tokens | constants
    factors, steps = gradients(memory, at, pairs.tokens, constants)
    state = state._replace(buffers=pairs.buffers)
    count = tokens["key"].shape[2]
    if pairs.band is not None:
        steps = step_sizes(step, gates, tokens["key"][..., 0], tokens["key"].shape[-1])
    if _simple(memory, step) and scalar(gates) and not (state.exposed or pairs.missing):
        size, others = alone(steps)
        band = pairs.band
        if band is None:
            factors = sized(memory, factors, others)
        else:
            size, band = None, steps[""][..., None] * band
        moved = Moving(factors, size, band, gates, state, bare)
        output = _read(memory, moved.weights(), tokens, constants)
        return output, moved.after()._replace(position=state.position + count)
    if pairs.band is None:
        factors, steps = sized(memory, factors, steps), {}
    if pairs.missing:
        factors = {name: late(pairs.missing, factor) for name, factor in factors.items()}
    if _simple(memory, step):
        band = None if pairs.band is None else steps[""][..., None] * pairs.band
        weights, state = _dual(memory, factors, band, gates, state)
    else:
        writes = {name: banded(pairs.band, factor.outer()) for name, factor in factors.items()}
        writes = memory.architecture.stepped(writes, steps)
        weights, state = _written_out(memory, step, writes, gates, state)
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
    if (layers := memory.architecture.network) is not None:
        return network.answer(layers, weights, tokens["query"], tokens | constants)
    return memory.architecture.read(weights, tokens["query"], tokens | constants)


def _dual(
    memory: "Memory",
    factors: Mapping[str, Factor],
    band: Tensor | None,
    gates: Mapping[str, Tensor],
    state: "State",
) -> tuple[Weights, "State"]:
    """Accumulator of every token, as functions, and the state after the last."""
    axes = {name: leaf.axes for name, leaf in memory.architecture.leaves(1, 1).items()}

    def fading(found: Mapping[str, Span]) -> dict[str, Sides]:
        return {name: sides(found, along) for name, along in axes.items()}

    momentum, kept = state.buffers.get("momentum"), spans(gates)
    if not momentum:
        decays = fading(kept)
        starts = [Start(state.weights, decays)]
        written = decays if band is None else fading({"": _over(kept.get("", Span()), band)})
        end = ending(starts, factors, written)
        return moving(starts, factors, written), state._replace(weights=end)

    # A decaying sum of decaying sums: the shares of both multiply.
    carried = of_tokens(gates["momentum"])
    shares, first = running(kept.get("", Span()), carried)
    alone = fading({"": carried})
    starts = [Start(state.weights, fading(kept)), Start(momentum, fading({"": first}))]
    own = alone
    if band is not None:
        shares, own = _over(shares, band), fading({"": _over(carried, band)})
    written = fading({"": shares})
    buffers = state.buffers | {"momentum": ending([Start(momentum, alone)], factors, own)}
    state = state._replace(weights=ending(starts, factors, written), buffers=buffers)
    return moving(starts, factors, written), state


def _over(span: Span, band: Tensor) -> Span:
    """How pairs reach the tokens, if each token writes a band `[..., time, pairs]` of them."""
    shares = band.cumsum(-2) if span.between is None else span.between @ band
    return Span(None, shares[..., -1, :, None], shares)


def _column(by: Tensor, leaf: Tensor) -> Tensor:
    return by.reshape(*by.shape, *[1] * (leaf.ndim - by.ndim))


def _written_out(
    memory: "Memory",
    step: Stepping,
    writes: Weights,
    gates: Mapping[str, Tensor],
    state: "State",
) -> tuple[Weights, "State"]:
    """Accumulator of every token `[batch, heads, time, *leaf]`, and the state after the last."""
    decays = {axis: gate.flatten(0, 1) for axis, gate in multipliers("decay", gates).items()}
    momentum = state.buffers.get("momentum")
    found: Weights = {}
    after: Weights = {}
    for name, leaf in writes.items():
        start = state.weights[name]
        write = -leaf.flatten(0, 1)
        one = write.new_ones([1] * write.ndim)
        if momentum:
            carried = gates["momentum"].flatten(0, 1)
            write = recurrence(_column(carried, write), write, momentum[name].flatten(0, 1))
            summed = write.reshape(*start.shape[:2], *write.shape[1:])
            after[name] = summed[:, :, -1]
            if step.transforms:
                write = step.transform(summed, gates).flatten(0, 1)
        keep = memory.architecture.scale({name: one}, decays)[name]
        sums = recurrence(keep, write, start.flatten(0, 1))
        found[name] = sums.unflatten(0, start.shape[:2])
    buffers = state.buffers | ({"momentum": after} if momentum else {})
    end = {name: sums[:, :, -1] for name, sums in found.items()}
    return found, state._replace(weights=end, buffers=buffers)
