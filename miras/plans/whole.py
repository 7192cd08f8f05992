"""A matrix memory over a whole sequence in one call of a compiled kernel.

The same algorithm as in `miras.plans.outer`, for tokens that write one row each. Where no kernel
can be had, nothing but time changes.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from miras.definition import Prepared
from miras.kernels import outer
from miras.plans.rows import erasing, rows_of

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


def fits(memory: "Memory", inputs: Prepared) -> bool:
    """Whether the kernel computes this memory, one that `outer` fits, and can be had."""
    architecture, step, retention = memory.architecture, memory.stepping, memory.retention
    return (
        step is not None
        and (step.plain or step.erases)
        and step.read == "after"
        and (memory.bias.linear or not memory.bias.residual)
        and not (memory.bias.residual and step.step_axis in ("value", "both"))
        and not retention.removes
        and retention.decays in (None, "scalar", "key")
        and not architecture.turns
        and not architecture.backwards
        and outer.available(inputs.value)
    )


def run(memory: "Memory", inputs: Prepared, state: "State", looks: bool) -> tuple[Tensor, "State"]:
    """Raw outputs and the state after the last token."""
    architecture, step = memory.architecture, memory.stepping
    assert step is not None
    query, key, value = inputs[:3]
    tokens = {"query": query, "key": key, "value": value, **inputs.gates, **inputs.constants}
    rows, _ = rows_of(memory, step, tokens, {})
    address = None if rows.address is rows.direction or not looks else rows.address
    if memory.bias.residual and erasing(memory):
        address = 2 * rows.address
    target = rows.value if rows.step is None else rows.value * rows.step
    decay = tokens.get("decay", tokens.get("decay_key"))
    ((name, start),) = state.weights.items()
    reading = outer.Reading(early=step.gradient_at != "retained", looks=looks)
    asked = architecture.aim(query, key, tokens)
    output, end = outer.outer(
        reading, asked, rows.direction, rows.size, address, target, decay, start
    )
    local = architecture.local(query, key, value, tokens)
    output = architecture.let_out(output if local is None else output + local, tokens)
    position = state.position + key.shape[1]
    return output, state._replace(position=position, weights={name: end})
