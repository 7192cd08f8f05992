"""What an optimizer needs of the memory that it moves."""

from typing import TYPE_CHECKING

from miras.rules import Verdict, kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("T12")
def _keyed(memory: "Memory") -> str:
    """An optimizer that looks at keys needs a matrix, written one token at a time."""
    step, architecture = memory.stepping, memory.architecture
    if step is None or not step.keyed:
        return ""
    if not architecture.linear or not architecture.keyed or not architecture.matrices:
        return (
            f"optimizer {kind(step)} looks at the key of each write, architecture"
            f" {kind(architecture)} is not linear in one: use architecture matrix"
        )
    if getattr(architecture, "rotation", None) is not None:
        return (
            f"optimizer {kind(step)} knows keys as they were written, rotation of architecture"
            f" {kind(architecture)} turns them: use a matrix without rotation, or optimizer gd"
        )
    if architecture.normalised:
        return (
            f"optimizer {kind(step)} changes the direction that is written along, normaliser: true"
            " divides by what was written in all: use normaliser: false"
        )
    if step.erases and step.step_axis not in step.closed_axes:
        return (
            f"optimizer {kind(step)} erases as much as it writes, step_axis {step.step_axis} has"
            " more than one step: use step_axis scalar"
        )
    if step.batch > 1 or memory.bias.window > 1 or memory.bias.target == "next_value":
        return (
            f"optimizer {kind(step)} takes one token at a time with the token's own key: use batch"
            " 1, window 1 and another target than next_value, or optimizer gd"
        )
    return ""


@rule("T12-sums")
def _sums(memory: "Memory") -> str:
    """An optimizer that solves with two sums needs both to fade alike."""
    step, retention = memory.stepping, memory.retention
    if step is None or not step.sums:
        return ""
    if not retention.plain or retention.decays not in (None, "scalar"):
        return (
            f"optimizer {kind(step)} fades two sums alike, retention {kind(retention)} does more"
            " than one factor per head: use retention none, or decay with axis scalar"
        )
    if memory.architecture.backwards:
        return (
            f"optimizer {kind(step)} solves on the side of the keys, architecture"
            f" {kind(memory.architecture)} is asked from the other: use architecture matrix"
        )
    if step.passes > 1:
        return (
            f"optimizer {kind(step)} solves for all tokens at once, passes: {step.passes} counts"
            " each so many times: use passes: 1 and a larger step"
        )
    return ""


@rule("T7")
def _one_singular_value(memory: "Memory") -> str:
    """Making all singular values of a gradient equal needs gradients of many tokens."""
    step = memory.stepping
    if step is None or not step.normalises or memory.bias.window > 1 or step.batch >= 8:
        return ""
    return (
        f"optimizer {kind(step)} makes all singular values of a gradient equal, and that of batch"
        f" {step.batch} has at most so many: use batch 8 or more, or a bias with window above 1"
    )


@rule("T13-dot", Verdict.warn)
def _delta_by_another_name(memory: "Memory") -> str:
    """An optimizer that erases, under bias dot, is the delta rule by another name."""
    step = memory.stepping
    if step is None or not step.erases or kind(memory.bias) != "dot":
        return ""
    return (
        f"optimizer {kind(step)} under bias dot is the delta rule: use optimizer gd and bias l2,"
        " which have fast plans"
    )


@rule("T23")
def _several_writes(memory: "Memory") -> str:
    """Several writes per token need keys and values that a layer can make several of."""
    step, architecture = memory.stepping, memory.architecture
    count: int = getattr(step, "count", 1) if step is not None else 1
    if step is None or kind(step) != "multi_step" or count == 1:
        return ""
    features = architecture.features
    if not architecture.keyed or features.needs_decay or architecture.normalised:
        what = f"features {kind(features)}" if features.needs_decay else kind(architecture)
        return (
            f"optimizer {kind(step)} writes {count} keys and values per token, {what} has one of"
            " its own making: use architecture matrix without normaliser, with features such as"
            " silu_l2"
        )
    if memory.bias.target != "value" or memory.bias.window > 1 or step.batch > 1:
        return (
            f"optimizer {kind(step)} takes the {count} writes of a token one after the other: use"
            " target value, window 1 and batch 1, or optimizer gd"
        )
    if getattr(step, "momentum", None) is not None and getattr(architecture, "rotation", None):
        return (
            f"momentum of optimizer {kind(step)} does not turn with the rotation of architecture"
            f" {kind(architecture)}: use one of the two"
        )
    return ""


@rule("shared")
def _shared(memory: "Memory") -> str:
    """One memory for all sequences has no gates made from the input of one of them."""
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
