"""What diverges: steps that are too long for what they are taken on.

For one key, |k|^2 times the step is how far a gradient step carries the prediction towards its
target: 1 lands on it, more than 2 goes further away than it was. Gradients that are taken at the
same weights add up before anybody sees what they did, so their steps count together.
"""

from math import inf
from typing import TYPE_CHECKING

from miras.rules import Verdict, kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.optimizer import Stepping


def _explicit(memory: "Memory") -> "Stepping | None":
    """The optimizer, if it can step past the target: nothing bounds its steps from within."""
    step = memory.stepping
    if step is None or step.quadratic_only or step.associative or step.normalises:
        return None
    if not (memory.bias.residual or step.erases) or memory.bias.guarded:
        return None
    if step.of_slots:  # slots take the mean of what is written to them
        return None
    return step


def _reach(step: "Stepping") -> float:
    """Largest sum of steps that are taken at the same weights; infinite if nothing bounds it."""
    divisor = step.together if step.scale == "chunk" else 1
    return step.stretch * step.step.ceiling(inf) * step.span / divisor


def _unit_keys(memory: "Memory") -> bool:
    return memory.architecture.features.unit_norm or not memory.architecture.keyed


def _holds_prediction(memory: "Memory") -> bool:
    """Whether predictions of a memory that is not linear stay bounded whatever was written."""
    architecture = memory.architecture
    # Slopes of slots are their weights, which sum to 1.
    held = architecture.bounded_prediction or architecture.averages or bool(architecture.slots)
    return held or memory.retention.bounded


@rule("T13")
def _erases_twice(memory: "Memory") -> str:
    """Erasing by the optimizer and by the bias at once needs steps of at most 1."""
    step = memory.stepping
    if step is None or not step.erases or not memory.bias.residual or _reach(step) <= 1:
        return ""
    if getattr(step, "closed", False):
        return ""
    return (
        f"optimizer {kind(step)} erases what is stored and bias {kind(memory.bias)} does it again:"
        f" steps {kind(step.step)} reach {_reach(step):.3g} and diverge above 1, use a step of at"
        " most 1, closed: true, or bias dot"
    )


@rule("T14")
def _negative_eigenvalue(memory: "Memory") -> str:
    """Steps above 1 need keys of norm 1."""
    step = _explicit(memory)
    if step is None or not 1.0 < step.step.ceiling(inf) < inf or _unit_keys(memory):
        return ""
    return (
        f"step {kind(step.step)} reaches {step.step.ceiling(inf):.3g}: above 1 the eigenvalue"
        " 1 - step |k|^2 is negative, which needs keys of norm 1, and features"
        f" {kind(memory.architecture.features)} has others: use features silu_l2 or l2, or a step"
        " of at most 1"
    )


@rule("stability-bound")
def _bound(memory: "Memory") -> str:
    """Steps are at most as long as they can be without diverging."""
    step = _explicit(memory)
    if step is None or step.span > 1 or step.scale == "key_dim":
        return ""
    # How long an explicit step may be: |k| = 1, the smallest decay and momentum that may come.
    decay = _smallest(getattr(memory.retention, "gate", None), memory.retention.decays is not None)
    decay = max(decay, getattr(memory.retention, "floor", 0.0)) + memory.retention.least_kept - 1
    momentum = _smallest(getattr(step, "momentum", None), "momentum" in step.buffers, out=0.0)
    bound = (2.0 if step.gradient_at == "retained" else 1 + decay) * (1 + momentum)
    if not bound < _reach(step) < inf:
        return ""
    fades = memory.retention.decays is not None or memory.retention.least_kept < 1
    earlier = step.gradient_at != "retained" and fades
    return (
        f"step {kind(step.step)} reaches {_reach(step):.3g}, optimizer {kind(step)} with"
        f" gradient_at {step.gradient_at} and retention {kind(memory.retention)} is stable up to"
        f" {bound:.3g}: use a step of at most {bound:.3g}"
        + (" or gradient_at retained" if earlier else "")
    )


def _smallest(gate: object, there: bool, out: float = 1.0) -> float:
    """The smallest number that a gate is known to give; `out` where there is no gate."""
    if not there:
        return out
    fixed: float | None = getattr(gate, "fixed", None)
    return 0.0 if fixed is None else fixed


@rule("T19")
def _frozen(memory: "Memory") -> str:
    """Gradients that are taken at the same weights need steps of at most 2 together."""
    step = _explicit(memory)
    together, window = 1 if step is None else step.span, memory.bias.window
    if step is None or together * window == 1 or step.scale == "key_dim":
        return ""
    reach = _reach(step) * memory.bias.weight
    scaled = step.scale == "chunk" and step.span == step.together
    if reach <= 2 or (scaled and reach == inf):
        return ""
    field = "chunk" if step.chunk > 1 else "batch" if step.batch > 1 else "every"
    field = field if together > 1 else "window"
    unscaled = field in ("chunk", "batch") and not scaled
    cure = "scale: chunk (or key_dim)" if unscaled else "sigmoid with a smaller scale"
    return (
        f"optimizer {kind(step)} with {field} {window if field == 'window' else together} adds up"
        f" {together * window} gradients at the same"
        f" weights, steps {kind(step.step)} reach {reach:.3g} together and a repeated key"
        f" diverges above 2: use {cure}"
    )


@rule("T19-momentum", Verdict.warn)
def _frozen_momentum(memory: "Memory") -> str:
    """Momentum on top of gradients that are taken together needs bounded answers."""
    step = _explicit(memory)
    if step is None or step.span == 1 or "momentum" not in step.buffers:
        return ""
    gate = getattr(step, "momentum", None)
    kept: float | None = getattr(gate, "fixed", None)
    grown = inf if kept in (None, 1.0) else _reach(step) / (1 - kept)
    if grown < 2 or memory.architecture.bounded_prediction or memory.bias.bounded:
        return ""
    return (
        f"optimizer {kind(step)} adds up past steps by 1 / (1 - {kind(gate)}) on top of the"
        f" {step.span} gradients at the same weights, architecture {kind(memory.architecture)} does"
        " not bound what comes out: use a norm, a constant momentum below 1 - step / 2, or chunk 1"
    )


@rule("T15")
def _power(memory: "Memory") -> str:
    """An error that grows faster than the residual needs bounded answers or a guard."""
    if getattr(memory.bias, "p", 2.0) <= 2 or memory.bias.guarded:
        return ""
    if memory.architecture.bounded_prediction:
        return ""
    return (
        f"bias {kind(memory.bias)} with p > 2 and an explicit step diverges on large residuals,"
        f" which architecture {kind(memory.architecture)} does not bound: use guard: true, or an"
        " mlp with a norm"
    )


@rule("T16", Verdict.warn)
def _sign_slope(memory: "Memory") -> str:
    """An error that is steep at zero needs short steps."""
    step, slope = _explicit(memory), memory.bias.slope
    if step is None or slope <= 1 or _reach(step) * slope <= 2:
        return ""
    return (
        f"errors of bias {kind(memory.bias)} pass through zero with slope {slope:.3g} and steps"
        f" {kind(step.step)} reach {_reach(step):.3g}: above {2 / slope:.2g} / |k|^2 they oscillate"
        " there, use a larger smoothing or smaller steps"
    )


@rule("lq-zero")
def _singular_link(memory: "Memory") -> str:
    """Retention that blows up at zero needs weights that start elsewhere."""
    if not memory.retention.singular_at_zero or not memory.architecture.linear:
        return ""
    return (
        f"retention {kind(memory.retention)} blows up at a zero accumulator and architecture"
        f" {kind(memory.architecture)} starts at zero: use an mlp, which starts at random weights,"
        " or form exact"
    )


def _overshoots(memory: "Memory") -> "Stepping | None":
    """The optimizer, if a key that is long enough makes it diverge."""
    step = _explicit(memory)
    if step is None or not memory.architecture.linear:
        return None
    if memory.bias.bounded and (not step.erases or getattr(step, "closed", False)):
        return None
    # The entries of a softmax sum to 1, so its norm is at most 1.
    short = _unit_keys(memory) or kind(memory.architecture.features) == "softmax"
    return None if short or step.scale == "key_dim" else step


@rule("long-keys-again")
def _long_keys_again(memory: "Memory") -> str:
    """Several passes over a token need keys that cannot be long."""
    step = _overshoots(memory)
    if step is None or step.passes == 1:
        return ""
    return (
        f"features {kind(memory.architecture.features)} may give long keys, and optimizer"
        f" {kind(step)} multiplies what is stored by 1 - step |k|^2 in each of {step.passes} passes"
        " over a token: use features silu_l2 or l2, scale: key_dim, or passes: 1"
    )


@rule("unit-keys", Verdict.warn)
def _long_keys(memory: "Memory") -> str:
    """Keys that may be long can make explicit steps diverge."""
    step, features = _overshoots(memory), memory.architecture.features
    if step is None or step.passes > 1:
        return ""
    return (
        f"features {kind(features)} may give long keys, and a step above 2 / |k|^2 of optimizer"
        f" {kind(step)} diverges: use features silu_l2 or l2, optimizer implicit, or scale: key_dim"
    )


@rule("unbounded-step", Verdict.warn)
def _long_steps(memory: "Memory") -> str:
    """A step without a largest value can diverge."""
    step = _explicit(memory)
    if step is None or memory.bias.bounded or not memory.architecture.linear:
        return ""
    if _reach(step) < inf:
        return ""
    return (
        f"step {kind(step.step)} has no largest value, and optimizer {kind(step)} diverges above"
        " 2 / |k|^2: use step sigmoid, or optimizer implicit"
    )


@rule("deep-steps", Verdict.warn)
def _deep_steps(memory: "Memory") -> str:
    """A deep memory without a norm can diverge under an unbounded error."""
    # The slope of a deep memory grows with its own weights, so no step is short enough for all of
    # them; a guard knows the slope of the last layer only.
    if memory.stepping is None or memory.architecture.linear or not memory.bias.residual:
        return ""
    if _holds_prediction(memory) or memory.bias.bounded:
        return ""
    return (
        f"architecture {kind(memory.architecture)} without norm has no largest prediction, and"
        f" steps on the unbounded error of bias {kind(memory.bias)} may diverge: use a norm, or"
        " bias huber"
    )


@rule("deep-momentum")
def _deep_momentum(memory: "Memory") -> str:
    """A deep memory without a norm needs short steps, above all under momentum."""
    # A bounded error is no help: layers multiply each other's weights, and so each other's steps.
    architecture, step = memory.architecture, memory.stepping
    gate = getattr(step, "momentum", None)
    if step is None or step.normalises or gate is None or architecture.linear:
        return ""
    momentum = gate.ceiling(1.0) if not gate.sees_input else gate.fixed
    if _holds_prediction(memory) or momentum is None:
        return ""
    reach = _reach(step) / max(1 - momentum, 1e-3)
    if reach <= 2:
        return ""
    return (
        f"architecture {kind(architecture)} without norm has no largest prediction, and steps"
        f" {kind(step.step)} with momentum {momentum:g} reach {reach:.3g}: use a norm, a smaller"
        " step, or a momentum of the input such as sigmoid"
    )
