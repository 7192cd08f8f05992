"""Exact rewrites that concern one part: special cases, and fields without effect.

Each keeps the function that is computed from the same tensors, up to rounding. R21 is a rule of
docs/rules.md; of its limits only those that are reached are rewrites: Huber with
a large but finite threshold is not `l2`, and with a small one it is not a sign.
"""

from collections.abc import Callable

from miras.architecture.mlp import Mlp
from miras.architecture.vector import Vector
from miras.bias.huber import Huber
from miras.bias.l1 import L1
from miras.bias.l2 import L2
from miras.bias.lp import Lp
from miras.canonical.editing import compared, edit, neutral, stepping
from miras.features.identity import Identity
from miras.features.rope import Rope
from miras.gate.mamba import Mamba
from miras.memory import Memory
from miras.retention import Decaying
from miras.retention.decay import Decay
from miras.retention.lq import Lq


def r21_power_two(memory: Memory) -> Memory:
    """lp with p = 2 is l2, whatever its smoothing: the factor (r^2 + s)^0 is 1."""
    bias = memory.bias
    return edit(memory, bias=compared(bias, L2)) if isinstance(bias, Lp) and bias.p == 2 else memory


def r21_power_one(memory: Memory) -> Memory:
    """lp with p = 1 is l1 of the same smoothing, if that is above 0."""
    bias = memory.bias
    if not isinstance(bias, Lp) or bias.p != 1 or bias.smoothing == 0:
        return memory
    return edit(memory, bias=compared(bias, L1, smoothing=bias.smoothing))


def guard_of_small_powers(memory: Memory) -> Memory:
    """The guard of lp acts for p > 2 only."""
    bias = memory.bias
    if not isinstance(bias, Lp) or bias.p > 2:
        return memory
    return edit(memory, bias=edit(bias, **neutral(bias, "guard")))


def smoothing_of_switch(memory: Memory) -> Memory:
    """Of the three Huber forms only `switch` smooths a sign."""
    bias = memory.bias
    if not isinstance(bias, Huber) or bias.form == "switch":
        return memory
    return edit(memory, bias=edit(bias, **neutral(bias, "smoothing")))


def r21_no_threshold(memory: Memory) -> Memory:
    """Huber with an infinite threshold is l2."""
    bias = memory.bias
    infinite = isinstance(bias, Huber) and bias.threshold.fixed == float("inf")
    return edit(memory, bias=compared(bias, L2)) if infinite else memory


def r21_norm_two(memory: Memory) -> Memory:
    """lq with q = 2 links every accumulator to itself, in both forms."""
    retention = memory.retention
    if not isinstance(retention, Lq) or retention.q != 2:
        return memory
    return edit(
        memory, retention=Decay(axis=retention.axis, gate=retention.gate, floor=retention.floor)
    )


def keyless(memory: Memory) -> Memory:
    """A memory that looks at no key has no use for its features, its size, or its sharing."""
    architecture, step = memory.architecture, memory.stepping
    if architecture.keyed:
        return memory
    wiring = edit(memory.wiring, key_dim=None, shared_keys=False)
    if step is None or step.scale != "key_dim":
        architecture = edit(architecture, features=Identity())
    return edit(memory, architecture=architecture, wiring=wiring)


def unused_reset(memory: Memory) -> Memory:
    """The reset gate multiplies what the recurrence adds."""
    architecture = memory.architecture
    if not isinstance(architecture, Vector) or architecture.recurrence:
        return memory
    return edit(memory, architecture=edit(architecture, reset=None))


def hidden_of_one_layer(memory: Memory) -> Memory:
    """A network of one matrix has no hidden layer."""
    architecture = memory.architecture
    if not isinstance(architecture, Mlp) or architecture.depth > 1:
        return memory
    unused = neutral(architecture, "expansion", "activation")
    return edit(memory, architecture=edit(architecture, **unused))


def rotation_by_nothing(memory: Memory) -> Memory:
    """Positions modulo 1 are all 0."""
    features = memory.architecture.features
    if not isinstance(features, Rope) or features.period != 1:
        return memory
    return edit(memory, architecture=edit(memory.architecture, features=Identity()))


def channels_of_mamba(memory: Memory) -> Memory:
    """Mamba's gate spreads over channels where it has some, and has a bottleneck per channel."""
    retention = memory.retention
    if not isinstance(retention, Decaying) or not isinstance(retention.gate, Mamba):
        return memory
    gate = retention.gate
    unused = ("spread", "per_channel", "rank") if retention.axis == "scalar" else ("rank",)
    if retention.axis != "scalar" and gate.per_channel:
        return memory
    return edit(memory, retention=edit(retention, gate=edit(gate, **neutral(gate, *unused))))


def one_head(memory: Memory) -> Memory:
    """One head has nobody to share its keys with."""
    alone = memory.wiring.heads == 1
    return edit(memory, wiring=edit(memory.wiring, shared_keys=False)) if alone else memory


def axes_of_no_gate(memory: Memory) -> Memory:
    """Erase and write gates have an axis where there are such gates."""
    step = memory.stepping
    if step is None:
        return memory
    unused = [name for name in ("erase", "write") if getattr(step, name) is None]
    return stepping(memory, **neutral(step, *(f"{name}_axis" for name in unused)))


PARTS: tuple[Callable[[Memory], Memory], ...] = (
    r21_power_two,
    r21_power_one,
    guard_of_small_powers,
    smoothing_of_switch,
    r21_no_threshold,
    r21_norm_two,
    keyless,
    unused_reset,
    hidden_of_one_layer,
    rotation_by_nothing,
    channels_of_mamba,
    one_head,
    axes_of_no_gate,
)
