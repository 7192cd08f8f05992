"""Rewrites that hold once a gate is mapped, and say how.

What they unite is one class of memories whose gate is another curve of the input: `implicit` with a
sigmoid step writes at most half, `gd` with one all of it, and both can be trained to anything
between. R3 is a rule of docs/rules.md.
"""

from collections.abc import Callable
from typing import NamedTuple

from miras.architecture.vector import Vector
from miras.bias.dot import Dot
from miras.bias.l2 import L2
from miras.canonical.editing import compared, descent, edit, stepping, unit_keys
from miras.gate import Gate
from miras.gate.complement import Complement
from miras.gate.constant import Constant
from miras.gate.recurrent import Recurrent
from miras.gate.sigmoid import Sigmoid
from miras.memory import Memory
from miras.optimizer import Stepping
from miras.optimizer.exact_flow import ExactFlow
from miras.optimizer.gd import GradientDescent
from miras.optimizer.implicit import Implicit
from miras.retention.decay import Decay
from miras.retention.none import NoRetention


class Mapped(NamedTuple):
    """An equal memory, if a gate is mapped."""

    memory: Memory
    gates: str  # gates of the new memory in terms of those of the old one; empty: the same


def r3_step_map(memory: Memory) -> Mapped | None:
    """With unit keys `implicit` and `exact_flow` are `gd` with another curve of the step.

    For a step that is learned: a number, or one less the decay, cannot become another curve. What
    depends on the last output is left alone, since it is no tensor that could be mapped.
    """
    step = memory.optimizer
    if not isinstance(step, Implicit | ExactFlow) or not unit_keys(memory):
        return None
    if step.step.fixed is not None or step.step.derived or step.step.recurrent:
        return None
    if step.scale == "none":
        curve = "step / (1 + step)" if isinstance(step, Implicit) else "1 - exp(-step)"
    elif isinstance(step, Implicit):
        curve = "step / (1 + step / key_dim)"
    else:
        curve = "key_dim (1 - exp(-step / key_dim))"
    return Mapped(edit(memory, optimizer=descent(step)), f"step = {curve}")


def keyless_delta(memory: Memory) -> Mapped | None:
    """w + b (v - w) = (1 - b) w + b v: the delta rule without keys is minGRU, or GRU."""
    step = memory.stepping
    if step is None or not _is_keyless_delta(memory):
        return None
    gate = step.step
    if gate.fixed is not None:
        keep = 1 - gate.fixed
        return Mapped(_mixture(memory, step, Constant(value=keep)), "") if keep > 0 else None
    if not isinstance(gate, Recurrent) and not (isinstance(gate, Sigmoid) and gate.scale == 1):
        return None
    # 1 - sigmoid(x W + b) = sigmoid(-x W - b), and a random W has no sign.
    opposite = edit(gate, bias=0.0 - gate.bias)
    return Mapped(_mixture(memory, step, opposite), "decay = 1 - step")


def _is_keyless_delta(memory: Memory) -> bool:
    step = memory.stepping
    return (
        memory.plain
        and isinstance(memory.architecture, Vector)
        and isinstance(memory.bias, L2)
        and isinstance(memory.retention, NoRetention)
        and isinstance(step, GradientDescent)
        and step.every == 1
        and step.gradient_at == "retained"
        and step.scale == "none"
    )


def _mixture(memory: Memory, step: Stepping, decay: Gate) -> Memory:
    retention = Decay(axis=step.step_axis, gate=decay)
    return edit(
        stepping(memory, step=Complement()), bias=compared(memory.bias, Dot), retention=retention
    )


UP_TO_GATES: tuple[Callable[[Memory], Mapped | None], ...] = (r3_step_map, keyless_delta)
