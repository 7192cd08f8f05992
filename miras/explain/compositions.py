"""A composition in words and numbers: its wiring, then each of its cells."""

from math import isinf

import torch

from miras.canonical import differences, equals, key, nearest
from miras.composition import AnyCell, Composition, CompositionState, Own
from miras.composition import kind as kind_of
from miras.explain.choosing import choices
from miras.explain.counting import LENGTH
from miras.explain.explanation import Constant, Explanation, Gate, Relative
from miras.explain.legend import of_composition
from miras.known import known
from miras.operator import run

Sizes = tuple[int, int, int]


def composed(memory: Composition, cells: list[Explanation], sizes: Sizes) -> Explanation:
    """All that can be said of a composition, from what was said of its cells."""
    update, read, where = memory.formula()
    own = tuple(_gate(each) for each in memory.own())
    told = [symbol for cell in cells for symbol in cell.symbols]
    symbols = of_composition(memory, (*update, *read), own, told)
    inner = [_named(cell, place) for place, cell in enumerate(memory.cells)]
    for name, cell in zip(inner, cells, strict=True):
        update += (f"{name}:", *(f"  {line}" for line in (*cell.update, *cell.read)))
        where += tuple(f"{name}: {line}" for line in cell.where)
    state = _state(memory, cells, sizes)
    work = {
        f"{place}.{name}": count * _copies(memory)
        for place, cell in enumerate(cells)
        for name, count in cell.products.items()
    }
    same = equals(memory)
    others = {name: other for name, other in known().items() if name not in same}
    near = nearest(memory, others)
    return Explanation(
        name=memory.name,
        paper=memory.paper,
        paper_equation=memory.equation,
        key=key(memory),
        summary=_summary(memory),
        choices=choices(memory),
        update=update,
        read=read,
        where=where,
        symbols=symbols,
        pace="",
        gates=(
            *(
                gate.model_copy(update={"name": f"{place}.{gate.name}"})
                for place, cell in enumerate(cells)
                for gate in cell.gates
            ),
            *own,
        ),
        constants=tuple(
            Constant(name=signal.name, shape=signal.shape[1:], meaning=signal.meaning)
            for signal in memory.gates(*sizes).values()
            if not signal.per_token
        ),
        heads=sizes[0],
        key_dim=sizes[1],
        value_dim=sizes[2],
        state=state,
        state_floats=sum(state.values()),
        growth=sum(cell.growth for cell in cells),
        products=work,
        multiply_adds=sum(work.values()),
        plans=tuple(
            plan.model_copy(update={"name": f"{place}.{plan.name}"})
            for place, cell in enumerate(cells)
            for plan in cell.plans
            if plan.chosen
        ),
        equals=tuple(
            Relative(name=name, how="the same model: every choice is the same or made equal")
            for name in same
        ),
        nearest=Relative(
            name=near.name,
            how="the nearest other one, differs in",
            differences=tuple(
                f"{each.where} {each.here}, there {each.there}"
                for each in differences(memory, known()[near.name])
            ),
        ),
        warnings=memory.warnings,
        departures=memory.departures,
    )


def _named(cell: AnyCell, place: int) -> str:
    what = cell.name or (kind_of(cell) if isinstance(cell, Composition) else "without a name")
    return f"cell {place}, {what}"


def _summary(memory: Composition) -> str:
    cells = ", ".join(_named(cell, place) for place, cell in enumerate(memory.cells))
    how = "each with projections of its own" if memory.layered else "on one query, key and value"
    count = len(memory.cells)
    told = f"{count} cell{'s' if count != 1 else ''}, {how}: {cells}" if cells else "no cells"
    return f"A composition ({kind_of(memory)}) of {told}."


def _gate(own: Own) -> Gate:
    fixed = own.gate.fixed
    shape = f"{own.width} per head" if own.width else "per head"
    high = min(own.high, own.gate.ceiling(own.high))
    return Gate(
        name=own.name,
        written=f"{fixed:g}" if fixed is not None else f"{own.name}_t",
        shape=shape,
        low=own.low,
        high=None if isinf(high) else high,
        made="" if fixed is not None else own.gate.formula(),
        meaning=own.meaning,
    )


def _copies(memory: Composition) -> int:
    """How often a token passes through each cell."""
    return int(getattr(memory, "count", 1))


def _state(memory: Composition, cells: list[Explanation], sizes: Sizes) -> dict[str, int]:
    """Numbers kept per sequence after 1,023 tokens, from the tensors that a run leaves."""
    if memory.layered:
        return {f"cell {place}": cell.state_floats for place, cell in enumerate(cells)}
    heads, key_dim, value_dim = sizes
    time = LENGTH - 1  # at a power of two log-linear memories keep the least
    key, value = torch.zeros(1, time, 1, key_dim), torch.zeros(1, time, 1, value_dim)
    gates = {
        name: torch.full((1, time, *signal.shape) if signal.per_token else signal.shape, 0.5)
        for name, signal in memory.gates(1, key_dim, value_dim).items()
    }
    with torch.no_grad():
        _, found = run(memory, key, key, value, gates)
    assert isinstance(found, CompositionState)
    counts = {
        f"state {place}": found.copies * cell.floats() for place, cell in enumerate(found.cells)
    }
    counts |= {name: leaf[0].numel() for name, leaf in found.own.items()}
    return {name: heads * count for name, count in counts.items() if count}
