"""What a read divides by, turns or adds, and what that needs of the other parts."""

from typing import TYPE_CHECKING

from miras.rules import kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("means")
def _means(memory: "Memory") -> str:
    """A memory that averages needs positive keys, counted one after the other."""
    architecture, step = memory.architecture, memory.stepping
    if not architecture.averages:
        return ""
    features = architecture.features
    if not features.nonnegative:
        return (
            f"architecture {kind(architecture)} divides by a sum of keys, which features"
            f" {kind(features)} can make zero: use features dpfp, elu1, relu or softmax"
        )
    if step is not None and not step.plain:
        return (
            f"architecture {kind(architecture)} counts keys beside its weights, optimizer"
            f" {kind(step)} would change the count as well: use optimizer gd"
        )
    if memory.bias.window > 1 or (step is not None and step.span > 1):
        return (
            f"architecture {kind(architecture)} counts a key when it is written, several at the"
            " same weights would be counted as new each: use window 1, chunk 1, every 1 and"
            " batch 1"
        )
    return ""


@rule("vector-normaliser")
def _vector_mean(memory: "Memory") -> str:
    """A normalised vector needs writes that only add up."""
    architecture = memory.architecture
    if architecture.keyed or not getattr(architecture, "normaliser", False):
        return ""
    step = memory.stepping
    if memory.bias.residual or (step is not None and not step.plain):
        return (
            "normaliser divides by the summed steps of what was written, bias"
            f" {kind(memory.bias)} with optimizer {kind(memory.optimizer)} writes something else:"
            " use bias dot and optimizer gd"
        )
    if not memory.retention.identity_link or memory.retention.reshapes:
        return (
            f"normaliser needs weights that add up, retention {kind(memory.retention)} reshapes"
            " them: use retention none or decay"
        )
    return ""


@rule("rotation")
def _rotation(memory: "Memory") -> str:
    """Keys that are turned when stored need a state that can turn with them."""
    architecture = memory.architecture
    if getattr(architecture, "rotation", None) is None:
        return ""
    if architecture.normalised and getattr(architecture, "denominator", "") != "absolute":
        return (
            "rotation turns stored keys away from the positive numbers, whose sum the normaliser"
            " divides by: use denominator: absolute, or leave out rotation"
        )
    if not memory.retention.identity_link:
        return (
            f"rotation turns the accumulator, retention {kind(memory.retention)} reads it through a"
            " link that does not turn with it: use retention none or decay"
        )
    return ""


@rule("trapezoid")
def _trapezoid(memory: "Memory") -> str:
    """A write shared with the next token needs bias dot, one step and one decay per head."""
    step = memory.stepping
    if step is None or "before" not in step.buffers:
        return ""
    if memory.bias.residual:
        return (
            f"optimizer {kind(step)} writes every gradient once more with the next token, when the"
            f" error of bias {kind(memory.bias)} is another: use bias dot, or optimizer gd"
        )
    if step.step_axis != "scalar" or memory.retention.decays not in (None, "scalar"):
        return (
            f"optimizer {kind(step)} shares one step and one decay per head between two tokens: use"
            " step_axis scalar and a retention of axis scalar, or optimizer gd"
        )
    return ""


@rule("selection", each_gate=True)
def _selection(memory: "Memory") -> str:
    """A step made by selection needs a tempered retention gate on the same axis."""
    source = getattr(memory.retention, "gate", None)
    for use in memory.uses:
        if kind(use.gate) != "selection":
            continue
        axis = memory.stepping.step_axis if memory.stepping else None
        if kind(source) != "tempered" or not use.name.startswith("step"):
            return (
                f"{use.name} selection is made from a retention gate of kind tempered, retention"
                f" {kind(memory.retention)} has none: use gate tempered, or a step such as sigmoid"
            )
        if axis != memory.retention.decays or axis == "both":
            return (
                f"step selection is made from the retention gate of its own axis {axis!r},"
                f" retention {kind(memory.retention)} has axis {memory.retention.decays}: use the"
                " same of scalar, key and value for both"
            )
    return ""


@rule("fading-keys")
def _fading_keys(memory: "Memory") -> str:
    """Stored keys do not fade where the optimizer measures with them."""
    architecture = memory.architecture
    if not architecture.stores_pairs or memory.retention.decays != "key":
        return ""
    if not memory.optimizer.literal or kind(memory.optimizer) != "closed_form":
        return (
            f"retention {kind(memory.retention)} of axis key fades stored keys, with which"
            f" optimizer {kind(memory.optimizer)} measures what is known: use axis scalar"
        )
    return ""


@rule("mean-of-itself")
def _mean_of_itself(memory: "Memory") -> str:
    """A memory that divides by what it has seen is not asked with values."""
    # Values may be negative whatever the features of keys are, and then z . v passes through zero.
    averages = memory.architecture.averages or memory.architecture.normalised
    if not averages or memory.bias.target != "self_generated":
        return ""
    return (
        "target: self_generated asks with the value of a token, and architecture"
        f" {kind(memory.architecture)} divides by what it has seen of that direction, which may be"
        " zero: use target: value, or a matrix without normaliser"
    )
