"""What is learned at a token, and when, in writing: targets, windows, batches, addresses."""

from collections.abc import Mapping

from miras.gate import grouped
from miras.memory import Memory
from miras.optimizer import Stepping


def pair(memory: Memory, at: str, value: str, gates: Mapping[str, str]) -> tuple[str, str]:
    """The key that is written to, and what its answer is compared with."""
    target, key = memory.bias.target, "k_t"
    if target == "next_value":
        key = "k_{t−1}"
    compared = {
        "value_minus_key": f"({value} − k_t)",
        "reconstruction": "k_t",
        "self_generated": memory.architecture.formula(at, value),
    }.get(target, value)
    written = {
        axis: gates[name]
        for axis, name in (("", "write"), ("value", "write_value"))
        if gates.get(name, "1") != "1"
    }
    return key, gated(compared, written)


def gated(vector: str, factors: Mapping[str, str]) -> str:
    """A vector times the gates on it."""
    for axis, factor in factors.items():
        vector = f"{grouped(factor)}{' ' if axis == '' else ' ⊙ '}{grouped(vector)}"
    return vector


def summed(memory: Memory, gradient: str) -> str:
    """The gradient of one pair summed over the window of the loss."""
    bias = memory.bias
    if bias.window == 1:
        return gradient
    share = "" if bias.discount == 1 else f"{bias.discount:g}^i "
    return f"Σ_(0≤i<{bias.window}) {share}[{gradient}]_(k, v of t−i)"


def schedule(memory: Memory, step: Stepping) -> list[str]:
    """When gradients become steps, where that is not token by token."""
    found: list[str] = []
    if step.batch > 1:
        found.append(f"one step every {step.batch} tokens, with the sum of their gradients")
    if step.passes > 1:
        found.append(f"each token is written {step.passes} times, each time at the new weights")
    if step.shared:
        found.append("one memory for all sequences of a batch: gradients are summed over them")
    return found
