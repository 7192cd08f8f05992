"""What was chosen for a memory, slot by slot."""

import inspect
from collections.abc import Iterator

from miras.canonical import written
from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.composition.either import wiring
from miras.explain.explanation import Choice
from miras.memory import SLOTS, Memory, Wiring
from miras.part import Part


def choices(memory: AnyCell) -> tuple[Choice, ...]:
    """The four choices of a memory, or a composition and its cells; then wiring, if any."""
    if isinstance(memory, Composition):
        return tuple(_composed(memory))
    found = [_choice(slot, getattr(memory, slot)) for slot in SLOTS]
    return (*found, *_wired(memory.wiring))


def _choice(slot: str, part: Part) -> Choice:
    return Choice(slot=slot, chosen=written(part), title=_first_line(part))


def _wired(own: Wiring) -> Iterator[Choice]:
    if own != Wiring():
        yield Choice(slot="wiring", chosen=written(own), title="How a layer feeds it.")


def _first_line(part: Part) -> str:
    """First line of the file that holds a part, which says in a few words what it is."""
    module = inspect.getmodule(type(part))
    return ((module and inspect.getdoc(module)) or part.summary()).partition("\n")[0]


def _composed(memory: Composition) -> Iterator[Choice]:
    hidden = {"name", "paper", "equation", "departures", "of", "wiring", "compose"}
    bare = memory.model_dump(exclude=hidden, exclude_defaults=True)
    settings = ", ".join(f"{name}: {_short(value)}" for name, value in bare.items())
    text = kind_of(memory) + (f" {{{settings}}}" if settings else "")
    yield Choice(slot="compose", chosen=text, title=_first_line(memory))
    for place, cell in enumerate(memory.cells):
        what = kind_of(cell) if isinstance(cell, Composition) else written(cell.architecture)
        yield Choice(slot=f"of.{place}", chosen=cell.name or what, title=_cell(cell))
    if not memory.layered:
        yield from _wired(wiring(memory))


def _short(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", "…"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(cell: AnyCell) -> str:
    if isinstance(cell, Memory):
        parts = (cell.architecture, cell.bias, cell.retention, cell.optimizer)
        return ", ".join(str(getattr(part, "kind", "")) for part in parts)
    return f"composition of {len(cell.cells)}"
