"""Which of its choices makes a memory better than the known one that it is nearest to?"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from miras.canonical import key
from miras.canonical.forms import CHOSEN, settings
from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.memory import Memory
from miras.stack import Stack

from ..space.derive import Candidate, Refusal, build


class Ablation(NamedTuple):
    """A memory with one choice taken from another one, or without it."""

    slot: str
    memory: Candidate


def ablations(memory: Candidate, neighbour: AnyCell) -> list[Ablation]:
    """The memory with one choice of its neighbour at a time, where they differ.

    Of a stack a choice is changed in all layers. Of a composition it is a setting, where the
    neighbour is a composition of the same kind, and each cell alone. What the grammar refuses, and
    what is equal to the memory or to an earlier one, is left out.
    """
    found: list[Ablation] = []
    seen = {key(memory)}
    for slot, spec in _changed(memory, neighbour):
        made = build(spec)
        if not isinstance(made, Refusal) and key(made) not in seen:
            seen.add(key(made))
            found.append(Ablation(slot, made))
    return found


def _changed(memory: Candidate, neighbour: AnyCell) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(memory, Stack):
        yield from _in_layers(memory, neighbour)
    elif isinstance(memory, Composition):
        yield from _in_composition(memory, neighbour)
    elif isinstance(neighbour, Memory):
        for slot in CHOSEN:
            if getattr(memory, slot) != getattr(neighbour, slot):
                yield slot, _with(memory, slot, neighbour)


def _in_layers(stack: Stack, neighbour: AnyCell) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(neighbour, Memory):
        for slot in CHOSEN:
            layers = [
                _with(cell, slot, neighbour) if isinstance(cell, Memory) else _plain(cell)
                for cell in stack.pattern
            ]
            yield slot, {"pattern": layers}
    for place, cell in enumerate(stack.pattern):
        yield f"layer {place + 1} alone", {"pattern": [_plain(cell)]}


def _in_composition(
    memory: Composition, neighbour: AnyCell
) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(neighbour, Composition) and kind_of(neighbour) == kind_of(memory):
        for name in (*settings(memory), "wiring"):
            if getattr(memory, name) != getattr(neighbour, name):
                yield name, _with(memory, name, neighbour)
    for place, cell in enumerate(memory.cells):
        yield f"cell {place + 1} alone", {"wiring": memory.wiring, **_plain(cell)}


def _with(memory: AnyCell, slot: str, neighbour: AnyCell) -> dict[str, Any]:
    return _plain(memory) | {slot: _plain(neighbour).get(slot)}


def _plain(memory: AnyCell) -> dict[str, Any]:
    titles = {"paper", "equation", "departures", "name"}
    return memory.model_dump(mode="json", exclude=titles)
