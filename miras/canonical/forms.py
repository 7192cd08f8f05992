"""Normal form, key and operator of a memory; see `miras.canonical`."""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar, Union, cast, overload

from miras.canonical.editing import edit
from miras.canonical.gate_maps import UP_TO_GATES
from miras.canonical.limits import LIMITS
from miras.canonical.parts import PARTS
from miras.canonical.steps import STEPS
from miras.canonical.whole import WHOLE
from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.composition.either import wiring
from miras.gate import Gate
from miras.gate.recurrent import Recurrent
from miras.gate.sigmoid import Sigmoid
from miras.memory import SLOTS, Memory, Wiring
from miras.part import Part
from miras.stack import Stack

Plain: TypeAlias = Union[dict[str, "Plain"], str, float, int, bool, None]  # noqa: UP007 - recursive

CHOSEN = (*SLOTS, "wiring")
"""What of a memory is compared."""

TITLES = ("name", "paper", "equation", "departures")


F = TypeVar("F", bound=Callable[..., Any])


def remembered(function: F) -> F:
    """A function of parts that keeps answers: one memory is compared with all that are known."""
    kept = lru_cache(8192)(function)

    @wraps(function)
    def answer(*parts: Any) -> Any:
        try:
            return kept(*parts)
        except TypeError:  # a part of another package may hold what has no hash
            return function(*parts)

    return cast(F, answer)


class Normal(NamedTuple):
    """The simplest memory that a memory is equal to."""

    memory: Memory
    gates: tuple[str, ...]  # the maps under which it is; empty: it is equal from the same tensors


@remembered
def normal(memory: Memory) -> Normal:
    """Rewrite a memory until no rule applies."""
    found = _exact(edit(memory, name="", paper="", equation="", departures=()))
    gates: list[str] = []
    while True:
        mapped = next((new for rule in UP_TO_GATES if (new := rule(found)) is not None), None)
        if mapped is None:
            return Normal(found, tuple(gates))
        found = _exact(mapped.memory)
        gates += [mapped.gates] if mapped.gates else []


def _exact(memory: Memory) -> Memory:
    """The memory after all exact rules, again and again until nothing changes."""
    while True:
        found = memory
        for rule in (*LIMITS, *PARTS, *STEPS):
            found = rule(found)
        if found == memory:
            return found
        memory = found


@remembered
def reduced(memory: AnyCell) -> AnyCell:
    """A composition as the simpler one, or the memory, that it is equal to."""
    found = memory
    for rule in WHOLE:
        found = rule(found)
    return found if found == memory else reduced(found)


def normal_form(memory: AnyCell | Stack) -> dict[str, Plain]:
    """The normal form as plain data: what differs from a default, and the maps of gates if any."""
    if isinstance(memory, Stack):
        memory = stacked(memory)
    if isinstance(memory, Stack):
        layers = {str(place): normal_form(cell) for place, cell in enumerate(memory.pattern)}
        return {"period": len(layers), "pattern": cast(Plain, layers)}
    memory = reduced(memory)
    if isinstance(memory, Composition):
        return _composed(memory)
    found = normal(memory)
    form: dict[str, Plain] = {slot: plain(getattr(found.memory, slot)) for slot in CHOSEN}
    return form | ({"gates": "; ".join(found.gates)} if found.gates else {})


def stacked(memory: AnyCell | Stack, layers: int | None = None) -> AnyCell | Stack:
    """The shortest pattern that gives every layer the same memory, or that memory if it is one.

    What a model of so many `layers` has no layer for is left out.
    """
    if not isinstance(memory, Stack):
        return memory
    pattern = memory.pattern
    keys = [key(cell) for cell in pattern]
    every = [keys[layer % len(keys)] for layer in range(layers or 2 * len(keys))]
    shortest = next(
        most
        for most in range(1, len(every) + 1)
        if all(each == every[layer % most] for layer, each in enumerate(every))
    )
    if shortest == 1:
        return pattern[0]
    return Stack(name=memory.name, pattern=pattern[:shortest])


def _composed(memory: Composition) -> dict[str, Plain]:
    own: dict[str, Plain] = {"compose": kind_of(memory)}
    own |= {name: plain(getattr(memory, name)) for name in settings(memory)}
    own["wiring"] = plain(wiring(memory))
    cells = {str(place): normal_form(cell) for place, cell in enumerate(bare_cells(memory))}
    return own | {"of": cast(Plain, cells)}


def settings(memory: Composition) -> list[str]:
    """Fields of the composition itself."""
    return [n for n in type(memory).model_fields if n not in (*TITLES, "compose", "of", "wiring")]


def bare_cells(memory: Composition) -> list[AnyCell]:
    """The cells as they count here: nothing is built around an operator's cell."""
    if memory.layered:
        return list(memory.cells)
    return [edit(cell, wiring=Wiring()) for cell in memory.cells]


@remembered
def key(memory: AnyCell | Stack) -> str:
    """16 hexadecimal digits, the same in every process, equal if the memories train one model."""
    text = json.dumps(_ungated(normal_form(memory)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ungated(form: dict[str, Plain]) -> dict[str, Plain]:
    """Without the maps of gates under which cells have their form."""
    return {
        name: _ungated(value) if isinstance(value, dict) else value
        for name, value in form.items()
        if name != "gates"
    }


@overload
def operator(memory: Memory) -> Memory: ...


@overload
def operator(memory: AnyCell) -> AnyCell: ...


@overload
def operator(memory: AnyCell | Stack) -> AnyCell | Stack: ...


@remembered
def operator(memory: AnyCell | Stack) -> AnyCell | Stack:
    """The memory as `miras.run` sees it: every gate a tensor, however it was made, and no layer."""
    if isinstance(memory, Stack):
        return Stack(pattern=tuple(operator(cell) for cell in memory.pattern))

    def bare(part: Part) -> Part:
        given = {name: getattr(part, name) for name in type(part).model_fields}
        gates = {name: _seen(gate) for name, gate in given.items() if isinstance(gate, Gate)}
        return edit(part, **gates)

    if isinstance(memory, Composition):
        cells = tuple(operator(cell) for cell in memory.cells)
        one = isinstance(getattr(memory, "of", ()), Part)
        own = cast(Composition, bare(memory))
        return edit(own, wiring=Wiring(), of=(cells[0] if one else cells) if cells else None)
    slots = {slot: bare(getattr(memory, slot)) for slot in CHOSEN}
    return edit(memory, **(slots | {"wiring": Wiring()}))


def _seen(gate: Gate) -> Gate:
    """What the operator sees of a gate: a number or a derived gate stays, others are a tensor."""
    if gate.fixed is not None or gate.derived:
        return gate
    return Recurrent() if gate.recurrent else Sigmoid()


def written(part: Part) -> str:
    """A part as it may stand in YAML, in one line, with the settings that are not defaults."""
    return text(plain(part))


def plain(value: object) -> Plain:
    """A part as its kind, or as a dict of the fields that differ from their defaults."""
    if isinstance(value, float):
        return float(f"{value:.12g}")  # 1 - 0.9 is 0.1
    if not isinstance(value, Part):
        return cast(Plain, value)
    fields = dict(type(value).model_fields)
    kind = {"kind": fields.pop("kind").get_default()} if "kind" in fields else {}
    chosen = {
        name: plain(getattr(value, name))
        for name, field in fields.items()
        if getattr(value, name) != field.get_default()
    }
    return kind["kind"] if kind and not chosen else kind | chosen


def text(plain: Plain) -> str:
    """Plain data as it may stand in YAML, in one line."""
    if isinstance(plain, dict):
        return "{" + ", ".join(f"{name}: {text(each)}" for name, each in plain.items()) + "}"
    if isinstance(plain, float):
        return f"{plain:g}"
    return (
        "none" if plain is None else str(plain).lower() if isinstance(plain, bool) else str(plain)
    )
