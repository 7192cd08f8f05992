"""Slots that are written row by row, and batches that are written again."""

from typing import TYPE_CHECKING

from miras.rules import Verdict, kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("row-slots")
def _slots(memory: "Memory") -> str:
    """An optimizer that counts tokens by slot needs slots, and sees each token once."""
    step, architecture = memory.stepping, memory.architecture
    if step is None or not step.of_slots:
        return ""
    if not architecture.slots:
        return (
            f"optimizer {kind(step)} counts the tokens that mean a slot, architecture"
            f" {kind(architecture)} has none: use architecture product_key or slots, or optimizer"
            " gd"
        )
    if memory.bias.window > 1:
        return (
            f"optimizer {kind(step)} counts each token once, window: {memory.bias.window} writes it"
            " again: use window: 1, or optimizer gd"
        )
    return ""


@rule("batch-passes")
def _window_of_batch(memory: "Memory") -> str:
    """A batch that is written again has no window beside it."""
    step = memory.stepping
    if step is None or not step.rereads or memory.bias.window == 1:
        return ""
    return (
        f"passes: {step.passes} with batch: {step.batch} writes the pairs of a batch again, window:"
        f" {memory.bias.window} has others beside them: use window: 1 or passes: 1"
    )


@rule("row-factor", Verdict.warn)
def _factor(memory: "Memory") -> str:
    """A factor above 2 overshoots where a key means one slot alone."""
    factor: float = getattr(memory.optimizer, "factor", 1.0)
    if memory.stepping is None or not memory.stepping.of_slots or factor <= 2:
        return ""
    return (
        f"optimizer {kind(memory.optimizer)} with factor {factor:g} makes up for weights of 1 /"
        f" {factor:g} per slot, and a key that means one slot alone overshoots: use a factor of at"
        " most 2, or keys far from all sub-keys"
    )


@rule("fading-addresses", Verdict.warn)
def _fading(memory: "Memory") -> str:
    """A decay of the whole state fades the addresses of slots with their values."""
    if kind(memory.architecture) != "product_key" or memory.retention.decays != "scalar":
        return ""
    return (
        f"retention {kind(memory.retention)} with axis scalar fades the sub-keys of architecture"
        " product_key with the values, so that slots lose their addresses: use axis slot or value"
    )


@rule("slot-address")
def _address(memory: "Memory") -> str:
    """Slots that all answer to every token need a bias that only adds."""
    if getattr(memory.architecture, "addressing", "") != "step" or not memory.bias.residual:
        return ""
    return (
        f"addressing: step lets all slots answer to every token, and bias {kind(memory.bias)}"
        " corrects the sum of all their answers: use addressing gate or content, or bias dot"
    )


@rule("mix")
def _mix(memory: "Memory") -> str:
    """Weighing read and value by the step needs one step per head, made from the input."""
    step = memory.stepping
    if not memory.wiring.mix or (step and step.step_axis == "scalar" and step.step.own):
        return ""
    return (
        "wiring mix: weighs read and value by the step of a token, which optimizer"
        f" {kind(memory.optimizer)} does not make as one number per head: use step_axis scalar and"
        " a step of the input such as sigmoid, or mix: false"
    )


@rule("slot-means")
def _means(memory: "Memory") -> str:
    """Averaged slots need writes that only add up."""
    step, retention = memory.stepping, memory.retention
    if not getattr(memory.architecture, "averaged", False) or step is None:
        return ""
    if memory.bias.residual or not step.plain:
        return (
            "averaged: true divides by the summed weight of what was written, bias"
            f" {kind(memory.bias)} with optimizer {kind(step)} writes something else: use bias dot"
            " and optimizer gd"
        )
    if not retention.identity_link or retention.reshapes:
        return (
            f"averaged: true needs slots that add up, retention {kind(retention)} reshapes them:"
            " use retention none or decay"
        )
    return ""
