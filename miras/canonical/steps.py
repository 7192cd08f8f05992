"""Exact rewrites of how a memory moves: constant gates, anchors of gradients, divisors of steps.

Each keeps the function that is computed from the same tensors, up to rounding. R3, R21 and R22 are
rules of docs/rules.md.
"""

from collections.abc import Callable

import torch

from miras.canonical.editing import (
    decay_is_read,
    descent,
    edit,
    fixed_decay,
    neutral,
    stepping,
    unit_keys,
)
from miras.gate import Axis, Gate
from miras.gate.constant import Constant
from miras.memory import Memory
from miras.optimizer import Stepping
from miras.optimizer.exact_flow import ExactFlow
from miras.optimizer.implicit import Implicit
from miras.optimizer.momentum import Momentum
from miras.retention import Decaying
from miras.retention.decay import Decay
from miras.retention.none import NoRetention


def derived_of_number(memory: Memory) -> Memory:
    """A step that is a function of a constant retention gate alone is a constant."""
    decay, step = fixed_decay(memory), memory.stepping
    if decay is None or step is None or not step.step.derived or step.step.own:
        return memory
    value = float(step.step.derive(torch.tensor(decay, dtype=torch.float64), None))
    return stepping(memory, step=Constant(value=value))


def floor_of_number(memory: Memory) -> Memory:
    """A number is never below its floor: the memory refuses one that is."""
    retention = memory.retention
    if not isinstance(retention, Decaying) or retention.gate.fixed is None:
        return memory
    return edit(memory, retention=edit(retention, **neutral(retention, "floor")))


def number_along_axis(memory: Memory) -> Memory:
    """One number for all channels is one number per head; along both axes it acts twice."""
    retention, step = memory.retention, memory.stepping
    if isinstance(retention, Decaying) and not decay_is_read(memory):
        whole = _whole(memory, retention.axis, retention.gate)
        if whole is not None:
            return edit(memory, retention=edit(retention, axis="scalar", gate=whole))
    if step is not None and not _acts_twice(memory, step):
        whole = _whole(memory, step.step_axis, step.step)
        if whole is not None:
            return stepping(memory, step_axis="scalar", step=whole)
    return memory


def _acts_twice(memory: Memory, step: Stepping) -> bool:
    """Whether the step is divided, or limits the error, once for each of two axes."""
    return step.step_axis == "both" and (step.scale != "none" or memory.bias.guarded)


def _whole(memory: Memory, axis: Axis, gate: Gate) -> Gate | None:
    """The scalar gate that does what a number does along an axis of every leaf."""
    if gate.fixed is None or axis == "scalar":
        return None
    along = {"key", "value"} if axis == "both" else {axis}
    leaves = memory.architecture.leaves(1, 1).values()
    powers = {len(along.intersection(leaf.axes)) for leaf in leaves}
    return Constant(value=gate.fixed ** powers.pop()) if len(powers) == 1 else None


def r21_keep_all(memory: Memory) -> Memory:
    """A retention gate of 1 is no retention."""
    one = isinstance(memory.retention, Decay) and fixed_decay(memory) == 1
    return edit(memory, retention=NoRetention()) if one and not decay_is_read(memory) else memory


def r21_no_momentum(memory: Memory) -> Memory:
    """Momentum that keeps nothing of past surprise is gradient descent."""
    step = memory.optimizer
    if not isinstance(step, Momentum) or step.momentum.fixed != 0:
        return memory
    return edit(memory, optimizer=descent(step))


def r3_number(memory: Memory) -> Memory:
    """With unit keys a constant step of `implicit` or `exact_flow` is another constant of `gd`."""
    step = memory.optimizer
    if not isinstance(step, Implicit | ExactFlow) or step.step.fixed is None:
        return memory
    if step.scale != "none" or not unit_keys(memory):
        return memory
    one = torch.ones((), dtype=torch.float64)
    taken = float(step.effective(step.step.fixed * one, one))
    return edit(memory, optimizer=descent(step, step=Constant(value=taken)))


def divisor_of_one(memory: Memory) -> Memory:
    """A step divided by a chunk of one token is not divided."""
    step = memory.stepping
    one = step is not None and step.scale == "chunk" and step.together == 1
    return stepping(memory, scale="none") if one else memory


def divisor_of_number(memory: Memory) -> Memory:
    """A constant divided by the chunk is a constant; left alone where T19 asks for the divisor."""
    step = memory.stepping
    if step is None or step.scale != "chunk" or step.step.fixed is None or memory.bias.residual:
        return memory
    return stepping(memory, scale="none", step=Constant(value=step.step.fixed / step.together))


def r22_chunk_of_one(memory: Memory) -> Memory:
    """The start of a chunk of one token is the token before."""
    step = memory.stepping
    one = step is not None and step.gradient_at == "anchor" and step.chunk == 1
    return stepping(memory, gradient_at="previous") if one else memory


def r22_no_anchor(memory: Memory) -> Memory:
    """The gradient of dot on a memory linear in its weights is the same at all weights."""
    step = memory.stepping
    bias = memory.bias
    if step is None or bias.residual or not memory.architecture.affine:
        return memory
    if bias.target == "self_generated":  # the target is what those weights answer
        return memory
    if step.chunk > 1 and _counts_chunk(memory, step):
        return memory
    return stepping(memory, chunk=1, gradient_at="retained")


def nothing_decays(memory: Memory) -> Memory:
    """Where nothing decays the weights before and after the decay are the same."""
    step = memory.stepping
    if step is None or step.gradient_at != "previous":
        return memory
    whole = memory.retention.decays is None or fixed_decay(memory) == 1
    whole = whole and memory.retention.plain  # what else it does before the write counts as well
    return stepping(memory, gradient_at="retained") if whole else memory


def refreshed_weights(memory: Memory) -> Memory:
    """With `every` > 1 gradients are taken at the refreshed weights, unless a chunk has an anchor.

    A chunk as long as the refresh period has those same weights as its anchor.
    """
    step = memory.stepping
    if step is None or step.every == 1 or step.chunk not in (1, step.every):
        return memory
    if step.chunk > 1 and _counts_chunk(memory, step):
        return memory
    return stepping(memory, chunk=1, gradient_at="retained")


def _counts_chunk(memory: Memory, step: Stepping) -> bool:
    return step.scale == "chunk" or any(use.gate.counts_chunk for use in memory.uses)


STEPS: tuple[Callable[[Memory], Memory], ...] = (
    derived_of_number,
    floor_of_number,
    number_along_axis,
    r21_keep_all,
    r21_no_momentum,
    r3_number,
    divisor_of_one,
    divisor_of_number,
    r22_chunk_of_one,
    r22_no_anchor,
    nothing_decays,
    refreshed_weights,
)
