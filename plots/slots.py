"""What was chosen for each slot of a memory, as far as its record says it."""

import re
from collections.abc import Mapping
from typing import Any, cast

from miras.result import TrialRecord

from . import reading

AXES = ("architecture", "bias", "retention", "optimizer")
LEARNING_RATE = "learning rate"
CELLS = ("of", "pattern")
INSIDE = re.compile(rf"(?:(?:{'|'.join(CELLS)})\.\d+\.)+")
"""What the slots of a memory that is one of several begin with."""

TITLES = ("name", "paper", "equation", "departures")
UNREADABLE = 200
"""Letters of a name of a choice from which on it was cut off."""

Slots = dict[str, str | float]
"""Slot -> choice, such as `retention.gate` -> `mamba`; a cell's slots are `pattern.0.retention`."""


def choices(record: TrialRecord) -> Slots:
    """Slot -> choice. `bias.huber.switch` of a derivation is the slot `bias.switch`.

    From the memory as written, and from the derivation what that leaves out. The learning rate is
    the one that the memory was trained with.
    """
    found = _written(record)
    cells = _cells(found)
    for name, value in record.choices.items():
        if name in ("learning_rate", "lr") or len(name) >= UNREADABLE:
            continue
        slot = ".".join(_in_cell(name.split("."), "", record.choices))
        cell = cell_of(f"{slot}.")
        if not cell or cell in cells:  # a pattern may be longer than there are layers
            left: Slots = {}
            _part(slot, _kind(value) if isinstance(value, str) else value, left)
            found = left | found
    if record.learning_rate > 0:
        found[LEARNING_RATE] = record.learning_rate
    return found


def _written(record: TrialRecord) -> Slots:
    found: Slots = {}
    _memory("", record.memory, found)
    return found


def _kind(label: str) -> str:
    """The name of an option without its settings, which have slots of their own."""
    while (shorter := re.sub(r"\([^()]*\)", "", label)) != label:
        label = shorter
    return label


def _memory(at: str, memory: Mapping[str, Any], found: Slots) -> None:
    for field, part in memory.items():
        if field in CELLS and isinstance(part, list):
            for place, cell in enumerate(cast("list[Any]", part)):
                if isinstance(cell, dict):
                    _memory(f"{at}{field}.{place}.", cast("dict[str, Any]", cell), found)
        elif field not in TITLES:
            _part(at + field, part, found)


def _part(slot: str, part: Any, found: Slots) -> None:
    if isinstance(part, dict):
        for field, value in cast("dict[str, Any]", part).items():
            _part(slot if field == "kind" else f"{slot}.{field}", value, found)
    elif isinstance(part, bool):
        found[slot] = str(part).lower()
    elif isinstance(part, str | int | float) and part != "":
        found[slot] = part


def _in_cell(steps: list[str], above: str, chosen: Mapping[str, Any]) -> list[str]:
    """The steps to a slot, without the names of options, from those of a derivation's choice.

    A memory has the name of an option above it only where it is one of several.
    """
    if above in chosen and len(steps) > 1:
        above, steps = f"{above}.{steps[0]}", steps[1:]
    first, *rest = steps
    name = f"{above}.{first}" if above else first
    if first == "memory" and rest:
        return _in_cell(rest, name, chosen)
    if first not in CELLS or not rest:
        return _in_part(steps)
    if name in chosen:
        name, rest = f"{name}.{rest[0]}", rest[1:]
    place, *rest = rest
    inside = _in_cell(rest, f"{name}.{place}", chosen) if rest else []
    return [first, place, *inside]


def _in_part(steps: list[str]) -> list[str]:
    """Field, option, field, option: the options go. The wiring is no option, but may be one."""
    if steps[0].startswith("change"):
        return steps
    if steps[0] == "wiring" and len(steps) > 1 and not steps[1].startswith("("):
        return ["wiring", *steps[1::2]]
    return steps[::2]


def with_defaults(records: reading.Records) -> dict[int, Slots]:
    """The choices by trial number, with what a memory leaves out.

    A memory as written leaves out defaults. Which choice is the default shows where a derivation
    names one that the memory then does not: it holds for all parts of that kind in the study. A
    default of which nobody says anything is the choice `default`.
    """
    found = {record.number: choices(record) for record in records}
    defaults: dict[tuple[str, str | float], Slots] = {}
    for record in records:
        chosen, written = found[record.number], _written(record)
        for slot in chosen.keys() - {LEARNING_RATE}:
            above = slot.rpartition(".")[0]
            kind = _standing(above, chosen)
            if kind is not None and _is_field(slot):
                known = defaults.setdefault((above, kind), {})
                known.setdefault(slot, "default")
                if slot not in written:
                    known[slot] = chosen[slot]
    outer_first = sorted(defaults.items(), key=lambda each: each[0][0].count("."))
    for chosen in found.values():
        for (above, kind), left_out in outer_first:
            if _standing(above, chosen) == kind:
                chosen |= left_out | chosen
        for cell in _cells(chosen):
            for axis in AXES if f"{cell}compose" not in chosen else ():
                chosen.setdefault(f"{cell}{axis}", "default")
    return found


def _standing(place: str, chosen: Slots) -> str | float | None:
    """What stands in a place: a kind, or something that has none; None if nothing does."""
    if place in chosen:
        return chosen[place]
    cell = place.removesuffix("wiring").rstrip(".")
    return "there" if (f"{cell}." if cell else "") in _cells(chosen) else None


def _is_field(slot: str) -> bool:
    """Whether it is a field of a part, not a place where whole memories are chosen."""
    last = slot.rpartition(".")[2]
    return not (slot.startswith("change") or last in ("memory", *CELLS) or last.isdigit())


def _cells(chosen: Slots) -> set[str]:
    """What the slots of each memory begin with; nothing if it is the only one."""
    return {cell for slot in chosen if (cell := cell_of(slot))} or {""}


def cell_of(slot: str) -> str:
    """What a slot of one of several memories begins with: `pattern.0.`; nothing for others."""
    found = INSIDE.match(slot)
    return found[0] if found else ""


def levels(values: list[str | float]) -> list[str]:
    """The choices as names; more than five different numbers become thirds by rank."""
    numbers = sorted(value for value in values if not isinstance(value, str))
    if len(set(numbers)) <= 5:
        return [value if isinstance(value, str) else f"{value:g}" for value in values]
    low, high = numbers[len(numbers) // 3], numbers[2 * len(numbers) // 3]
    return [value if isinstance(value, str) else _third(value, low, high) for value in values]


def _third(value: float, low: float, high: float) -> str:
    if value < low:
        return f"below {low:.2g}"
    return f"{low:.2g} to {high:.2g}" if value < high else f"from {high:.2g}"
