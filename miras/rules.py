"""Which parts go together: declared needs, and combinations known to be wrong or to blow up.

Names T1, T2, ... are those of the compatibility rules of the project's catalogue of memories. A
rule answers with a sentence (who asks, who lacks, what would fit) or with nothing.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from miras.memory import Memory


class Verdict(Enum):
    """What happens to a memory that a rule objects to."""

    refuse = "refuse"
    warn = "warn"


class Rule(NamedTuple):
    """A condition on a whole memory."""

    name: str
    verdict: Verdict
    check: Callable[["Memory"], str]


RULES: list[Rule] = []


def rule(name: str, verdict: Verdict = Verdict.refuse) -> Callable[..., Callable[["Memory"], str]]:
    """Enter a function from memory to sentence (empty: no objection) into the table."""

    def enter(check: Callable[["Memory"], str]) -> Callable[["Memory"], str]:
        RULES.append(Rule(name, verdict, check))
        return check

    return enter


def _kind(part: object) -> str:
    return str(getattr(part, "kind", type(part).__name__))


@rule("pairs")
def _pairs(memory: "Memory") -> str:
    architecture, optimizer = _kind(memory.architecture), _kind(memory.optimizer)
    if memory.optimizer.stores_pairs and not memory.architecture.stores_pairs:
        return (
            f"optimizer {optimizer} stores pairs of key and value, architecture {architecture}"
            " keeps none: use architecture kv, or an optimizer that takes steps such as gd"
        )
    if memory.architecture.stores_pairs and not memory.optimizer.stores_pairs:
        return (
            f"architecture {architecture} only stores pairs, optimizer {optimizer} takes gradient"
            " steps: use optimizer closed_form, or an architecture with weights such as matrix"
        )
    if memory.architecture.stores_pairs and _kind(memory.bias) != "l2":
        return (
            f"optimizer {optimizer} is the minimiser of the l2 bias, bias {_kind(memory.bias)} has"
            " no such form: use bias l2"
        )
    if memory.retention.of_pairs and not memory.architecture.stores_pairs:
        return (
            f"retention {_kind(memory.retention)} drops stored pairs, architecture {architecture}"
            " keeps none: use architecture kv, or retention decay"
        )
    if memory.architecture.stores_pairs and not memory.retention.identity_link:
        return (
            f"retention {_kind(memory.retention)} reshapes weights, architecture {architecture} has"
            " none: use retention none, decay or window"
        )
    return ""


@rule("axes")
def _axes(memory: "Memory") -> str:
    allowed = memory.architecture.allowed_axes()
    step = memory.stepping
    for part, axis in (
        (memory.retention, memory.retention.decays),
        (memory.optimizer, step.step_axis if step else None),
    ):
        if axis is not None and axis not in allowed:
            return (
                f"{_kind(part)} acts along the axis {axis!r}, architecture"
                f" {_kind(memory.architecture)} has {', '.join(sorted(allowed))}: use one of these"
            )
    return ""


@rule("derived-gate")
def _derived(memory: "Memory") -> str:
    if memory.stepping is None or not memory.stepping.step.derived:
        return ""
    if memory.retention.decays == memory.stepping.step_axis:
        return ""
    return (
        f"step {_kind(memory.stepping.step)} is made from the retention gate, which has axis"
        f" {memory.retention.decays or 'none'}: use retention decay with axis"
        f" {memory.stepping.step_axis}, or another step"
    )


@rule("misplaced-gate")
def _misplaced(memory: "Memory") -> str:
    for use in memory.uses:
        if use.gate.derived and not use.name.startswith("step"):
            return (
                f"gate {_kind(use.gate)} is made from the retention gate and serves as a step only,"
                f" not as {use.name}: use another gate such as sigmoid"
            )
        if use.gate.recurrent and memory.architecture.keyed:
            return (
                f"gate {_kind(use.gate)} reads the previous output, which only architecture vector"
                " keeps in its state: use architecture vector, or a gate of the input"
            )
        fixed = use.gate.fixed
        if fixed is not None and not max(use.low, 0.0) <= fixed <= use.high:
            return (
                f"constant {fixed:g} is out of range for {use.name}: use a number from {use.low:g}"
                f" to {use.high:g}"
            )
        if fixed == 0.0 and use.name.startswith("decay"):
            return "a retention multiplier of 0 keeps nothing: use a number above 0, at most 1"
    return ""


@rule("features-decay")
def _features_decay(memory: "Memory") -> str:
    if not memory.architecture.features.needs_decay or memory.retention.decays in ("key", "both"):
        return ""
    return (
        f"features {_kind(memory.architecture.features)} write what the key-axis retention gate"
        " forgets: use retention decay with axis key [T17]"
    )


@rule("T2")
def _simplex_axis(memory: "Memory") -> str:
    along = memory.retention.simplex_axis
    if along is None:
        return ""
    if not memory.architecture.matrices:
        return (
            f"retention {_kind(memory.retention)} normalises rows or columns of matrices,"
            f" architecture {_kind(memory.architecture)} has other weights: use matrix or an mlp"
            " without offset"
        )
    # In an mlp the outer axes are never the hidden one, over which its slices are normalised.
    if memory.retention.decays in (along, "both") and memory.architecture.linear:
        return (
            f"a decay that varies along the softmax axis {along!r} breaks the simplex: use axis"
            f" scalar or {'value' if along == 'key' else 'key'}"
        )
    return ""


@rule("link-matrices")
def _link_matrices(memory: "Memory") -> str:
    if memory.retention.identity_link or memory.architecture.matrices:
        return ""
    return (
        f"retention {_kind(memory.retention)} needs weight matrices, architecture"
        f" {_kind(memory.architecture)} has other weights: use matrix or an mlp without offset"
    )


@rule("lq-zero")
def _lq_zero(memory: "Memory") -> str:
    if _kind(memory.retention) != "lq" or not memory.architecture.linear:
        return ""
    return (
        "retention lq blows up at a zero accumulator and architecture"
        f" {_kind(memory.architecture)} starts at zero: use an mlp, which starts at random weights"
    )


@rule("T4")
def _deep_hebbian(memory: "Memory") -> str:
    if memory.architecture.linear or memory.architecture.stores_pairs or memory.bias.residual:
        return ""
    if memory.retention.decays is not None or memory.architecture.bounded_prediction:
        return ""
    return (
        f"bias {_kind(memory.bias)} has no fixed point on architecture"
        f" {_kind(memory.architecture)}, its weights grow for ever: use retention decay, a norm,"
        " or a residual bias such as l2"
    )


@rule("T11")
def _closed_step(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or not step.quadratic_only:
        return ""
    if not memory.architecture.linear or _kind(memory.bias) != "l2":
        return (
            f"optimizer {_kind(step)} has a closed form for a linear memory under bias l2 only:"
            " use these, or optimizer gd"
        )
    if step.gradient_at == "anchor" or step.step_axis != "scalar":
        return (
            f"optimizer {_kind(step)} solves one token with one step size: use gradient_at"
            " retained or previous and step_axis scalar, or optimizer gd"
        )
    return ""


@rule("T14")
def _negative_eigenvalue(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or step.quadratic_only or getattr(step.step, "scale", 1.0) <= 1.0:
        return ""
    if step.scale != "none" or not memory.bias.residual or not memory.architecture.keyed:
        return ""
    if memory.architecture.features.unit_norm and getattr(step.step, "scale", 1.0) <= 2.0:
        return ""
    return (
        "a step above 1 makes eigenvalues 1 - step |k|^2 negative, which is stable for steps up to"
        " 2 on keys of norm 1 only: use features silu_l2 or l2 and a step scale of at most 2"
    )


@rule("T19")
def _frozen_chunk(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or step.chunk == 1 or step.scale != "none" or not memory.bias.residual:
        return ""
    return (
        f"{step.chunk} gradients at one anchor add up: a repeated key diverges unless step * chunk"
        " < 2: use scale: chunk (or key_dim)"
    )


@rule("T20")
def _normaliser(memory: "Memory") -> str:
    if not memory.architecture.normalised:
        return ""
    if not memory.architecture.features.nonnegative:
        return (
            f"normaliser divides by z . q, which features {_kind(memory.architecture.features)} can"
            " make zero: use features elu1, relu or softmax"
        )
    if memory.bias.residual or memory.retention.decays in ("value", "both"):
        return (
            "normaliser is the summed weight of what was written: use bias dot and a decay of axis"
            " scalar or key"
        )
    step = memory.stepping
    if step is not None and (step.step_axis in ("value", "both") or step.buffers):
        return "normaliser needs the same step for all value channels: use step_axis scalar and gd"
    return "" if memory.retention.identity_link else "normaliser needs a linear retention: use decay"


@rule("anchor-of-dot", Verdict.warn)
def _anchor_of_dot(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or memory.bias.residual or not memory.architecture.linear or step.chunk == 1:
        return ""
    return "chunk changes nothing for a linear memory under bias dot: its gradient has no anchor"


@rule("T1", Verdict.warn)
def _nonnegative(memory: "Memory") -> str:
    if not memory.retention.nonnegative or memory.architecture.bounded_prediction:
        return ""
    return (
        f"retention {_kind(memory.retention)} keeps weights positive, so reads take the sign of the"
        " query: use an mlp with a norm, or an output gate"
    )


@rule("T5", Verdict.warn)
def _unnormalised(memory: "Memory") -> str:
    if memory.architecture.stores_pairs or memory.bias.residual or memory.retention.decays:
        return ""
    if memory.architecture.normalised or memory.wiring.norm or not memory.architecture.linear:
        return ""
    return "reads grow with the length of the sequence: use normaliser, retention decay or a norm"


@rule("T6", Verdict.warn)
def _momentum_of_dot(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or not step.buffers or memory.bias.residual or not memory.architecture.linear:
        return ""
    return "momentum on bias dot is only a second, fixed decay of what was written"


@rule("T15", Verdict.warn)
def _power(memory: "Memory") -> str:
    if getattr(memory.bias, "p", 2.0) <= 2 or memory.bias.guarded:
        return ""
    return "lp with p > 2 and an explicit step diverges on large residuals: use guard: true"


@rule("T16", Verdict.warn)
def _sign_slope(memory: "Memory") -> str:
    if _kind(memory.bias) not in ("l1", "lp") or getattr(memory.bias, "p", 1.0) >= 2:
        return ""
    slope = getattr(memory.bias, "smoothing", 0.0) ** (getattr(memory.bias, "p", 1.0) / 2 - 1)
    if slope <= 2.0:
        return ""
    return (
        f"the smooth sign has slope {slope:.3g} at the target: steps above {2 / slope:.2g} / |k|^2"
        " oscillate there; use a larger smoothing or smaller steps"
    )


@rule("unit-keys", Verdict.warn)
def _unbounded_keys(memory: "Memory") -> str:
    step = memory.stepping
    if step is None or step.quadratic_only or memory.bias.bounded or memory.bias.guarded:
        return ""
    if not memory.bias.residual or not memory.architecture.linear or not memory.architecture.keyed:
        return ""
    features = memory.architecture.features
    if features.unit_norm or step.scale == "key_dim" or _kind(features) == "softmax":
        return ""
    return (
        f"keys of features {_kind(features)} may be long, and a step above 2 / |k|^2 diverges:"
        " use features silu_l2 or l2, optimizer implicit, or scale: key_dim"
    )


@rule("T22", Verdict.warn)
def _deep_channels(memory: "Memory") -> str:
    if memory.architecture.linear or memory.retention.decays in (None, "scalar"):
        return ""
    return (
        "per-channel retention of a deep memory decays the key side of its first and the value side"
        " of its last matrix; hidden units are only decayed as a whole"
    )
