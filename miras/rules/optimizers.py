"""What an optimizer needs of the memory that it moves."""

from typing import TYPE_CHECKING

from miras.rules import kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("T12")
def _keyed(memory: "Memory") -> str:
    step, architecture = memory.stepping, memory.architecture
    if step is None or not step.keyed:
        return ""
    if not architecture.linear or not architecture.keyed or not architecture.matrices:
        return (
            f"optimizer {kind(step)} looks at the key of each write, architecture"
            f" {kind(architecture)} is not linear in one: use architecture matrix"
        )
    if architecture.normalised:
        return (
            f"optimizer {kind(step)} changes the direction that is written along, normaliser: true"
            " divides by what was written in all: use normaliser: false"
        )
    if step.batch > 1 or memory.bias.window > 1 or memory.bias.target == "next_value":
        return (
            f"optimizer {kind(step)} takes one token at a time with the token's own key: use batch"
            " 1, window 1 and another target than next_value, or optimizer gd"
        )
    return ""


@rule("shared")
def _shared(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or not step.shared:
        return ""
    if step.keyed:
        return (
            f"optimizer {kind(step)} keeps what it knows of keys for each sequence, shared: true"
            " makes one memory of all: use optimizer gd, momentum or muon"
        )
    own = [use for use in (*memory.retention.uses(), *step.uses()) if use.gate.sees_input]
    own = [use for use in own if not use.name.startswith(("step", "erase", "write"))]
    if own:
        names = ", ".join(use.name for use in own)
        return (
            f"gate {kind(own[0].gate)} makes {names} of each sequence's own input, shared: true"
            " makes one memory of all: use gate constant there, or shared: false"
        )
    return ""
