"""Memories of slots: who writes them, who dreams over them, and what is kept beside them."""

from typing import TYPE_CHECKING

from miras.rules import kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("slots")
def _slots(memory: "Memory") -> str:
    """What writes or dreams over slots needs an architecture that has them."""
    step, architecture = memory.stepping, memory.architecture
    if step is None:
        return ""
    held = architecture.leaves(1, 1)
    wanted = {"hebbian": "edges"}.get(kind(step), "slots") if step.associative else ""
    if wanted and wanted not in held:
        return (
            f"optimizer {kind(step)} writes {wanted}, architecture {kind(architecture)} has none:"
            " use architecture graph, or an optimizer that takes steps such as gd"
        )
    if step.dream.dreams and "slots" not in held:
        return (
            f"dream {kind(step.dream)} works on slots, architecture {kind(architecture)} has none:"
            " use architecture graph, or dream none"
        )
    return ""


@rule("associative")
def _associative(memory: "Memory") -> str:
    """Writing by address follows no gradient, and has no settings of gradient steps."""
    step, bias = memory.stepping, memory.bias
    if step is None or not step.associative:
        return ""
    asks = f"optimizer {kind(step)} follows no gradient, it writes a token where its address says:"
    if (kind(bias), bias.target, bias.window) != ("l2", "value", 1):
        return f"{asks} use bias l2, with target: value and no window, which stands for none here"
    fields = {name: type(step).model_fields[name].default for name in ONE_BY_ONE}
    if other := [name for name, neutral in fields.items() if getattr(step, name) != neutral]:
        return f"{asks} use it without {', '.join(other)}"
    return ""


ONE_BY_ONE = (
    *("step_axis", "gradient_at", "chunk", "every", "scale", "batch", "passes", "shared"),
    *("erase_axis", "write_axis"),
)
"""Settings of gradient steps that mean nothing, or that nobody has defined, without gradients."""


@rule("erase-of-edges")
def _erase_of_edges(memory: "Memory") -> str:
    """Erase and write gates belong to the slots of a graph, not to its edges."""
    step = memory.stepping
    if step is None or kind(step) != "hebbian" or (step.erase is None and step.write is None):
        return ""
    return (
        "optimizer hebbian makes edges, erase and write are gates of its slots: write them under"
        " slots:, and use none beside it"
    )


@rule("bookkeeping")
def _bookkeeping(memory: "Memory") -> str:
    """Slots that keep their ages need retention none or decay."""
    held = memory.architecture.leaves(1, 1)
    if "age" not in held or kind(memory.retention) in ("none", "decay"):
        return ""
    return (
        f"retention {kind(memory.retention)} acts on all weights, architecture"
        f" {kind(memory.architecture)} keeps ages and activity among them: use retention none or"
        " decay"
    )


@rule("row-mean")
def _row_mean(memory: "Memory") -> str:
    """A factor on writes to slots is at most the number of slots that a token reads."""
    step, architecture = memory.stepping, memory.architecture
    factor = getattr(step, "factor", None)
    if step is None or factor is None or not step.of_slots or not architecture.slots:
        return ""
    read = architecture.lookups * (getattr(architecture, "top", None) or architecture.slots)
    if factor <= read:
        return ""
    return (
        f"factor {factor:g} makes up for weights that share out one write, and a token of"
        f" architecture {kind(architecture)} reads {read} slots: use factor {read} or less"
    )
