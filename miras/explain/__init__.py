"""A memory in words and numbers: equations, gates, state, cost, plan and relatives."""

from math import isinf
from typing import Any

from miras.canonical import Difference, differences, key, nearest, normal, operator
from miras.composition import AnyCell, Composition
from miras.explain.choosing import choices as choices
from miras.explain.compositions import composed
from miras.explain.counting import kept, products, state_floats
from miras.explain.explanation import Constant, Explanation, Gate, Plan, Relative
from miras.explain.formulas import equations, letter, symbols
from miras.explain.legend import of_memory
from miras.explain.page import computed as computed
from miras.explain.page import html as html
from miras.explain.printing import text as text
from miras.gate import Use
from miras.known import cells as known
from miras.memory import Memory
from miras.operator import choose
from miras.part import Part
from miras.plans import plans


def explain(memory: AnyCell, heads: int = 2, key_dim: int = 32, value_dim: int = 32) -> Explanation:
    """All that can be said of a memory; sizes are those of one layer."""
    sizes = heads, key_dim, value_dim
    if isinstance(memory, Composition):
        pairs = zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        return composed(memory, [explain(cell, heads, *inner) for cell, inner in pairs], sizes)
    lines, state, work = equations(memory), state_floats(memory, *sizes), products(memory, *sizes)
    equal, made = _equals(memory), gates(memory)
    grows = memory.architecture.stores_pairs and getattr(memory.retention, "size", None) is None
    return Explanation(
        name=memory.name,
        paper=memory.paper,
        paper_equation=memory.equation,
        key=key(memory),
        summary=_summary(memory),
        choices=choices(memory),
        update=lines.update,
        read=lines.read,
        where=lines.where,
        symbols=of_memory(memory, (*lines.update, *lines.read), made),
        pace=_pace(memory),
        gates=made,
        constants=_constants(memory, *sizes),
        heads=heads,
        key_dim=key_dim,
        value_dim=value_dim,
        state=state,
        state_floats=sum(state.values()),
        growth=sum(state.values()) // kept(memory) if grows else 0,
        products=work,
        multiply_adds=sum(work.values()),
        plans=_plans(memory, key_dim, value_dim),
        equals=equal,
        nearest=_nearest(memory, equal),
        warnings=memory.warnings,
        departures=memory.departures,
    )


def plain(explanation: Explanation) -> dict[str, Any]:
    """The same as dicts, lists, texts and numbers."""
    return explanation.model_dump(mode="json")


def _summary(memory: Memory) -> str:
    architecture, retention, step = memory.architecture, memory.retention, memory.stepping
    of = f" with {_kind(architecture.features)} keys" if architecture.keyed else ""
    axes = {"scalar": "head", "slot": "slot"} | {n: f"{n} channel" for n in ("key", "value")}
    axis = retention.decays
    forgets = "forgets nothing"
    if axis is not None:
        per = axes.get(axis, "key channel and one per value channel")
        forgets = f"forgets by {_kind(retention)}, one gate per {per}"
    elif _kind(retention) != "none":
        forgets = f"forgets by {_kind(retention)}"
    if step is None:
        return f"{_name(memory)}{of}: it stores pairs and {forgets}."
    minimises = f"minimises the {_kind(memory.bias)} bias by {_kind(step)}"
    return f"{_name(memory)}{of}: it {minimises} and {forgets}."


def _name(memory: Memory) -> str:
    kind = _kind(memory.architecture)
    return f"{'An' if kind == 'mlp' else 'A'} {kind} memory"


def _kind(part: Part) -> str:
    return str(getattr(part, "kind", type(part).__name__))


def _pace(memory: Memory) -> str:
    step = memory.stepping
    if step is None:
        return ""
    if not memory.bias.residual and memory.architecture.affine:
        but = ", but for the output before it" if memory.recurrent else ""
        taken = f"What a token writes does not depend on what is stored{but}."
    elif step.chunk > 1:
        taken = (
            f"All {step.chunk} gradients of a chunk are taken at the weights before the chunk:"
            " they can be computed at once, and do not see each other."
        )
    elif step.every > 1:
        taken = f"Gradients are taken at weights that are up to {step.every} tokens old."
    elif memory.retention.decays is None:
        taken = "Every token sees what all tokens before it have written."
    elif step.gradient_at == "retained":
        taken = "The error is taken after the decay of its token: only what is kept is corrected."
    else:
        taken = "The error is taken before the decay of its token."
    shown = f" Reads see weights that are refreshed every {step.every} tokens." * (step.every > 1)
    return taken + shown


def gates(memory: Memory) -> tuple[Gate, ...]:
    """What multiplies, token by token."""
    return tuple(_gate(memory, use) for use in memory.uses)


def _gate(memory: Memory, use: Use) -> Gate:
    shapes = {"": "per head", "key": "per key channel", "value": "per value channel"}
    shapes |= {"unmapped": "per key channel before the map"}
    high = min(use.high, use.gate.ceiling(use.high))
    made = use.gate.formula() + (f", at least {use.low:g}" if use.low > 0 else "")
    return Gate(
        name=use.name,
        written=letter(memory, use.name) if use.gate.own else symbols(memory)[use.name],
        shape=shapes.get(use.width, f"per {use.width}"),
        low=use.low,
        high=None if isinf(high) else high,
        made=made if use.gate.own else "",
        meaning=use.meaning,
    )


def _constants(memory: Memory, heads: int, key_dim: int, value_dim: int) -> tuple[Constant, ...]:
    return tuple(
        Constant(name=signal.name, shape=signal.shape[1:], meaning=signal.meaning)
        for signal in memory.gates(heads, key_dim, value_dim).values()
        if not signal.per_token
    )


def _plans(memory: Memory, key_dim: int, value_dim: int) -> tuple[Plan, ...]:
    """Those that fit, the chosen one first."""
    chosen = choose(memory, key_dim, value_dim)
    fitting = {name: plan for name, plan in plans().items() if plan.fits(memory)}
    names = sorted(fitting, key=lambda name: (name != chosen, name))
    return tuple(
        Plan(name=name, complexity=fitting[name].complexity, chosen=name == chosen)
        for name in names
    )


def _equals(memory: Memory) -> tuple[Relative, ...]:
    found: list[Relative] = []
    own, bare, maps = key(memory), key(operator(memory)), normal(memory).gates
    for name, other in known().items():
        if key(other) == own:
            there = normal(other).gates
            up_to = "; ".join(maps or there)
            how = "the same model" + ("" if maps == there else f" up to a gate: {up_to}")
            found.append(Relative(name=name, how=how))
        elif key(operator(other)) == bare:
            how = "the same operator in another layer, differs in"
            told = _told(differences(memory, other))
            found.append(Relative(name=name, how=how, differences=told))
    return tuple(found)


def _nearest(memory: Memory, equal: tuple[Relative, ...]) -> Relative:
    names = {relative.name for relative in equal}
    others = {name: other for name, other in known().items() if name not in names}
    name, found = nearest(memory, others)
    return Relative(name=name, how="the nearest other one, differs in", differences=_told(found))


def _told(found: tuple[Difference, ...]) -> tuple[str, ...]:
    return tuple(f"{each.where} {each.here}, there {each.there}" for each in found)
