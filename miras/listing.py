"""What there is: parts, known memories, tasks, spaces and studies, as rows of text."""

from importlib.resources import files
from pathlib import Path

from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.known import known
from miras.memory import SLOTS, Memory
from miras.operator import choose
from miras.part import SpecError, leaves
from miras.plans import plans

AXES = (*SLOTS, "features", "gate", "plans", "tasks")
COMPOSITION = "composition"

Row = dict[str, str]


def rows(what: str) -> list[Row]:
    """Rows of one listing: an axis, `known`, `spaces` or `studies`."""
    if what in AXES:
        found = leaves(f"miras.{what}")
        return [{"kind": kind, "what it is": part.summary()} for kind, part in found.items()]
    if what == COMPOSITION:
        found = leaves(f"miras.{what}", "compose")
        return [{"compose": kind, "what it is": part.summary()} for kind, part in found.items()]
    if what == "known":
        return [_known(name) for name in known()]
    if what in ("spaces", "studies"):
        return [{"name": path.stem, "file": str(path)} for path in yamls(what)]
    listings = ", ".join((*AXES, COMPOSITION, "known", "spaces", "studies"))
    raise SpecError(f"there is no listing {what!r}: use one of {listings}")


def overview() -> list[Row]:
    """One row per listing, with what it holds."""
    names = {axis: list(leaves(f"miras.{axis}")) for axis in AXES}
    names |= {COMPOSITION: list(leaves(f"miras.{COMPOSITION}", "compose")), "known": list(known())}
    names |= {what: [path.stem for path in yamls(what)] for what in ("spaces", "studies")}
    return [
        {"listing": what, "count": str(len(each)), "names": " ".join(each)}
        for what, each in names.items()
    ]


def yamls(folder: str) -> list[Path]:
    """The YAML files that are shipped in `spaces` or `studies`."""
    return sorted(Path(str(files("miras") / folder)).glob("*.yaml"))


def _known(name: str) -> Row:
    memory = known()[name]
    if isinstance(memory, Composition):
        cells = " ".join(
            cell.name or (kind_of(cell) if isinstance(cell, Composition) else "-")
            for cell in memory.cells
        )
        four = {"architecture": f"{kind_of(memory)}: {cells}"}
        four |= dict.fromkeys(("bias", "retention", "optimizer"), "")
        return {"name": name, **four, "plan": _plans(memory), "paper": memory.paper}
    four = {slot: str(getattr(getattr(memory, slot), "kind", "")) for slot in SLOTS}
    return {"name": name, **four, "plan": usual_plan(memory), "paper": memory.paper}


def fast() -> list[Row]:
    """The plan of every known memory, and what a token costs in it."""
    found = plans()
    rows: list[Row] = []
    for name, memory in known().items():
        taken = _plans(memory).split(", ")
        work = "; ".join(found[plan].complexity for plan in taken)
        rows.append({"name": name, "plan": ", ".join(taken), "work per token and head": work})
    return rows


def _plans(memory: AnyCell) -> str:
    """The plans of a memory, or of all cells of a composition."""
    if isinstance(memory, Memory):
        return usual_plan(memory)
    every = [plan for cell in memory.cells for plan in _plans(cell).split(", ")]
    return ", ".join(dict.fromkeys(every))


def usual_plan(memory: Memory) -> str:
    """The plan that is taken for keys and values of 32 where the memory does not say its own."""
    wiring = memory.wiring
    value_dim = 1 if wiring.heads == "channels" else wiring.value_dim or 32
    return choose(memory, wiring.key_dim or 32, value_dim)
