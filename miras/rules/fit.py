"""Who needs what: parts that cannot be put together at all."""

from typing import TYPE_CHECKING

from miras.rules import kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("pairs")
def _pairs(memory: "Memory") -> str:
    """A memory stores pairs as they come or takes gradient steps, not both."""
    architecture, optimizer = kind(memory.architecture), kind(memory.optimizer)
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
    if memory.architecture.stores_pairs and kind(memory.bias) != "l2":
        return (
            f"optimizer {optimizer} is the minimiser of the l2 bias, bias {kind(memory.bias)} has"
            " no such form: use bias l2"
        )
    if memory.retention.of_pairs and not memory.architecture.stores_pairs:
        return (
            f"retention {kind(memory.retention)} drops stored pairs, architecture {architecture}"
            " keeps none: use architecture kv, or retention decay"
        )
    return ""


@rule("axes")
def _axes(memory: "Memory") -> str:
    """What acts along an axis needs an architecture that has this axis."""
    allowed = memory.architecture.allowed_axes()

    def objection(part: object, axis: str | None) -> str:
        if axis is None or axis in allowed:
            return ""
        return (
            f"{kind(part)} acts along the axis {axis!r}, architecture"
            f" {kind(memory.architecture)} has {', '.join(sorted(allowed))}: use one of these"
        )

    # One after the other: what is wrong with the first is wrong whatever the second will be.
    if wrong := objection(memory.retention, memory.retention.decays):
        return wrong
    step = memory.stepping
    return objection(memory.optimizer, step.step_axis if step else None)


@rule("derived-gate", each_gate=True)
def _derived(memory: "Memory") -> str:
    """A step made from the retention gate needs that gate, on the same axis."""
    step = memory.stepping
    for use in memory.uses:
        if use.gate.derived and not use.name.startswith("step"):
            return (
                f"gate {kind(use.gate)} is made from the retention gate and serves as a step only,"
                f" not as {use.name}: use another gate such as sigmoid"
            )
        decay = use.name.replace("step", "decay")
        if not use.gate.derived or step is not None:
            continue
        if decay not in (other.name for other in memory.retention.uses()):
            return (
                f"step {kind(use.gate)} is made from the retention gate of its own axis, retention"
                f" {kind(memory.retention)} has none: use another step such as sigmoid"
            )
    if step is None or not step.step.derived or memory.retention.decays == step.step_axis:
        return ""
    return (
        f"step {kind(step.step)} is made from the retention gate of its own axis"
        f" {step.step_axis!r}, retention {kind(memory.retention)} has axis"
        f" {memory.retention.decays or 'none'}: use retention decay with axis {step.step_axis}, or"
        " another step such as sigmoid"
    )


@rule("recurrent-gate", each_gate=True)
def _recurrent(memory: "Memory") -> str:
    """A gate that reads the previous output needs a memory that keeps it."""
    for use in memory.uses:
        if use.gate.recurrent and memory.architecture.keyed:
            return (
                f"gate {kind(use.gate)} reads the previous output, which architecture"
                f" {kind(memory.architecture)} does not keep: use architecture vector, or a gate of"
                " the input such as sigmoid"
            )
    return ""


@rule("timescale", each_gate=True)
def _timescale(memory: "Memory") -> str:
    """A step that takes its time scale from a mamba gate needs one such scale per head."""
    # The layer builds this gate from what the other one leaves behind: dt, one number per head.
    source = getattr(memory.retention, "gate", None)
    per_channel = getattr(source, "per_channel", False) and memory.retention.decays != "scalar"
    for use in memory.uses:
        if kind(use.gate) != "timescale":
            continue
        if kind(source) != "mamba" or per_channel or use.width:
            return (
                f"{use.name} timescale is the one dt per head of a retention gate mamba, retention"
                f" {kind(memory.retention)} has none: use gate mamba without per_channel and"
                " step_axis scalar, or a step such as sigmoid"
            )
    return ""


@rule("gate-range", each_gate=True)
def _range(memory: "Memory") -> str:
    """What a gate gives stays in the range of what it is used as."""
    for use in memory.uses:
        fixed, ceiling = use.gate.fixed, use.gate.ceiling(use.high)
        if ceiling > use.high or (fixed is not None and fixed < use.low):
            what = f"up to {ceiling:g}" if fixed is None else f"{fixed:g}"
            return (
                f"gate {kind(use.gate)} gives {what}, {use.name} lies between {use.low:g} and"
                f" {use.high:g}: use a gate that stays there, such as sigmoid with scale 1"
            )
        if use.gate.signed and use.low >= 0:
            return (
                f"gate {kind(use.gate)} may be negative, {use.name} is at least {use.low:g}: use a"
                " gate such as sigmoid or softplus"
            )
        if fixed == 0.0 and use.name.startswith(("decay", "threshold")):
            effect = "keeps" if use.name.startswith("decay") else "writes"
            return (
                f"gate constant 0 as {use.name} {effect} nothing in {kind(memory.architecture)}:"
                " use a number above 0"
            )
    return ""


@rule("T17")
def _tied_keys(memory: "Memory") -> str:
    """Keys made from what the retention gate forgets need such a gate per key channel."""
    features = memory.architecture.features
    if not features.needs_decay:
        return ""
    if memory.retention.decays not in ("key", "both"):
        return (
            f"features {kind(features)} write what the key-axis retention gate forgets, retention"
            f" {kind(memory.retention)} has no such gate: use retention decay with axis key"
        )
    step = memory.stepping
    if step is not None and step.step.fixed != 1.0:
        return (
            f"features {kind(features)} already say how much is written, step {kind(step.step)}"
            " says it again: use step constant"
        )
    return ""


@rule("link-matrices")
def _link_matrices(memory: "Memory") -> str:
    """Retention that reshapes matrices needs an architecture made of matrices."""
    if not memory.retention.of_matrices or memory.architecture.matrices:
        return ""
    return (
        f"retention {kind(memory.retention)} needs weight matrices, architecture"
        f" {kind(memory.architecture)} has other weights: use matrix or an mlp without offset,"
        " or retention decay"
    )


@rule("residual-size")
def _residual_size(memory: "Memory") -> str:
    """A memory that adds the key to its answer needs features that keep its size."""
    features = memory.architecture.features
    if not getattr(memory.architecture, "residual", False) or features.width(2) == 2:
        return ""
    return (
        f"architecture {kind(memory.architecture)} adds the mapped key to its answer, features"
        f" {kind(features)} change the size of a key: use residual: false, or features that keep it"
    )


@rule("T2")
def _simplex_axis(memory: "Memory") -> str:
    """No decay varies along the axis that a softmax normalises."""
    # A decay that varies along the softmax axis does not cancel in the normaliser, so the logits
    # are no longer those of multiplicative weights. In an mlp one of the layers has that axis.
    along, decays = memory.retention.simplex_axis, memory.retention.decays
    clash = (along, "both") if memory.architecture.linear else ("key", "value", "both")
    if along is None or decays not in clash:
        return ""
    free = "value" if along == "key" else "key"
    return (
        f"retention {kind(memory.retention)} normalises along axis {along!r}, its decay of axis"
        f" {decays!r} varies along it: use axis scalar"
        + (f" or {free}" if memory.architecture.linear else "")
    )


@rule("T11")
def _closed_step(memory: "Memory") -> str:
    """A step in closed form needs a linear memory under bias l2, one token at a time."""
    step = memory.stepping
    if step is None or not step.quadratic_only:
        return ""
    if not memory.architecture.linear or kind(memory.bias) != "l2":
        return (
            f"optimizer {kind(step)} has a closed form for a linear memory under bias l2 only, not"
            f" for {kind(memory.architecture)} under {kind(memory.bias)}: use matrix or vector with"
            " l2, or optimizer gd"
        )
    if not memory.retention.identity_link:
        return (
            f"optimizer {kind(step)} solves for the weights, retention {kind(memory.retention)}"
            " keeps them behind a link: use retention none or decay, or optimizer gd"
        )
    fades = memory.retention.decays is not None or not memory.retention.plain
    stale = step.gradient_at != "retained" and fades
    own = step.step_axis in step.closed_axes
    if stale or step.span > 1 or step.gradient_at == "anchor" or not own:
        return (
            f"optimizer {kind(step)} solves one token with one step size from the retained memory:"
            f" use gradient_at retained, every 1 and step_axis {' or '.join(step.closed_axes)}, or"
            " optimizer gd"
        )
    return ""


@rule("T20")
def _normaliser(memory: "Memory") -> str:
    """A normaliser needs keys that cannot sum to zero, and writes that only add up."""
    if not memory.architecture.normalised:
        return ""
    features = memory.architecture.features
    absolute = getattr(memory.architecture, "denominator", "") == "absolute"
    if not features.nonnegative and not features.positive_kernel and not absolute:
        return (
            f"normaliser divides by z . q, which features {kind(features)} can make zero: use"
            " features elu1, relu, softmax or taylor"
        )
    if memory.bias.residual:
        return (
            f"normaliser is the summed weight of what was written, bias {kind(memory.bias)} writes"
            " differences: use bias dot"
        )
    if memory.retention.decays in ("value", "both"):
        return (
            "normaliser is one sum for all value channels, retention"
            f" {kind(memory.retention)} of axis {memory.retention.decays} forgets each at its own"
            " pace: use axis scalar or key"
        )
    step = memory.stepping
    if step is not None and (step.step_axis in ("value", "both") or step.buffers):
        return (
            "normaliser needs one write of the same size for all value channels, optimizer"
            f" {kind(step)} with step_axis {step.step_axis} has more: use gd with step_axis scalar"
        )
    if not memory.retention.identity_link or memory.retention.reshapes:
        return (
            f"normaliser needs weights that add up, retention {kind(memory.retention)} reshapes"
            " them: use retention none or decay"
        )
    return ""


@rule("chance-range", each_gate=True)
def _drawn(memory: "Memory") -> str:
    """A gate that is drawn by chance needs a largest value."""
    for use in memory.uses:
        if kind(use.gate) == "chance" and use.high == float("inf"):
            return (
                f"gate chance draws from exp(spread n), and {use.name} has no upper end that would"
                " hold it: use another gate such as softplus"
            )
    return ""
