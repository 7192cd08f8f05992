"""What is legal and pointless, or known to disappoint."""

from typing import TYPE_CHECKING

from miras.rules import Verdict, kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


def _forgets(memory: "Memory") -> bool:
    gate = getattr(memory.retention, "gate", None)
    decays = memory.retention.decays is not None and getattr(gate, "fixed", None) != 1.0
    return decays or memory.retention.fades


@rule("T4")
def _deep_hebbian(memory: "Memory") -> str:
    """The inner product on a deep memory needs forgetting or a norm, or weights grow for ever."""
    if memory.architecture.linear or memory.architecture.stores_pairs or memory.bias.residual:
        return ""
    # A norm of the prediction gives the inner product a largest value, as bounded weights do.
    bounded = memory.architecture.bounded_prediction or memory.retention.bounded
    bounded = bounded or getattr(memory.architecture, "averaged", False)
    if _forgets(memory) or bounded:
        return ""
    return (
        f"bias {kind(memory.bias)} has no fixed point on architecture {kind(memory.architecture)}"
        f" and retention {kind(memory.retention)} forgets nothing, so weights grow for ever: use"
        " retention decay, a norm, or a residual bias such as l2"
    )


@rule("T5", Verdict.warn)
def _unnormalised(memory: "Memory") -> str:
    """Reads of a memory that only adds grow with the length of the sequence."""
    architecture = memory.architecture
    if not architecture.linear or memory.bias.residual or _forgets(memory):
        return ""
    if architecture.normalised or memory.wiring.norm or getattr(architecture, "squash", False):
        return ""
    if memory.retention.bounded:
        return ""
    return (
        f"bias {kind(memory.bias)} adds and retention {kind(memory.retention)} takes nothing away,"
        " so reads grow with the length of the sequence: use normaliser, retention decay or"
        " wiring with norm"
    )


@rule("T6", Verdict.warn)
def _momentum_of_dot(memory: "Memory") -> str:
    """A fixed momentum of the inner product is only a second decay."""
    step = memory.stepping
    if step is None or "momentum" not in step.buffers:
        return ""
    gate = getattr(step, "momentum", None)
    if memory.bias.residual or not memory.architecture.linear or getattr(gate, "sees_input", True):
        return ""
    return (
        f"momentum {kind(gate)} on bias {kind(memory.bias)} is only a second, fixed decay of what"
        " was written: use a momentum of the input such as sigmoid, or optimizer gd"
    )


@rule("T10", Verdict.warn)
def _never_read(memory: "Memory") -> str:
    """A memory that is refreshed too seldom is never read."""
    step = memory.stepping
    if step is None or step.every == 1 or not memory.architecture.linear:
        return ""
    if getattr(memory.architecture, "initial_std", 0.0):
        return ""
    return (
        f"optimizer {kind(step)} with every {step.every} refreshes what is read once in"
        f" {step.every} tokens and architecture {kind(memory.architecture)} starts at zero, so a"
        " shorter sequence reads nothing: use every well below the length of a sequence"
    )


@rule("T22", Verdict.warn)
def _deep_channels(memory: "Memory") -> str:
    """A decay per channel treats the hidden units of a deep memory as a whole."""
    architecture = memory.architecture
    if architecture.linear or architecture.stores_pairs or architecture.averages:
        return ""
    if memory.retention.decays in (None, "scalar") or not architecture.factored:
        return ""
    return (
        f"retention {kind(memory.retention)} of axis {memory.retention.decays} decays the key side"
        f" of the first and the value side of the last matrix of {kind(memory.architecture)},"
        " hidden units only as a whole: use axis scalar to treat all alike"
    )


@rule("T1", Verdict.warn)
def _nonnegative(memory: "Memory") -> str:
    """Weights that are kept positive need a norm or a signed gate on the output."""
    if not memory.retention.nonnegative or memory.architecture.bounded_prediction:
        return ""
    if memory.wiring.output_gate == "silu":
        return ""
    return (
        f"retention {kind(memory.retention)} keeps weights positive, so reads of architecture"
        f" {kind(memory.architecture)} take the sign of the query: use an mlp with a norm, or"
        " wiring with output_gate silu"
    )


@rule("anchor-of-dot", Verdict.warn)
def _anchor_of_dot(memory: "Memory") -> str:
    """A chunk has no effect where gradients do not depend on the weights."""
    step = memory.stepping
    if step is None or memory.bias.residual or not memory.architecture.linear or step.chunk == 1:
        return ""
    return (
        f"chunk {step.chunk} has no effect on {kind(memory.architecture)} under bias"
        f" {kind(memory.bias)}, whose gradient does not depend on the weights: leave chunk out and"
        " use a smaller step if it was there to scale it"
    )


@rule("nothing-to-generate")
def _nothing_to_generate(memory: "Memory") -> str:
    """A memory that learns from its own answers must not start at zero."""
    if memory.bias.target != "self_generated" or not memory.retention.identity_link:
        return ""
    architecture = memory.architecture
    starts = any(leaf.std > 0 for leaf in architecture.leaves(1, 1).values())
    others = architecture.stores_pairs or architecture.averages
    if starts or others or getattr(architecture, "residual", False):
        return ""
    return (
        "target: self_generated compares the answer to a key with the answer to its value, and"
        f" architecture {kind(architecture)} starts at zero, where both are zero for ever: use"
        " initial_std of architecture matrix, or architecture mlp"
    )
