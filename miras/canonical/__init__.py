"""Which memories are the same: normal form, key, and the difference between two.

Two keys are equal if the two memories train the same model. Names, papers and notes say nothing
about that; the wiring and the way gates are made do, because a layer is built from them. What is
united and what is not:

- exactly equal: `parts` and `steps` hold the rules, from the same tensors to the same outputs;
- equal once a gate is mapped: `gate_maps`. A search that trains one of them has trained the class,
  so the key is the same; the normal form keeps the map under `gates`, and says that it is there;
- different although close: decay before or after the error under tied gates (R6), a decay of value
  channels beside values that grow (R26), a constant step under a norm, which hides it up to its
  epsilon (R19), Huber with a large threshold (R21). Their keys differ.

A composition is its wiring, its own settings and the normal forms of its cells in their order. How
a layer would be wired around a cell alone says nothing there, unless cells are layers of their own.

`operator` leaves of a memory what `miras.run` computes on raw tensors: how gates are made and how a
layer is wired around it is dropped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias, Union, cast, overload

from miras.architecture.matrix import Matrix
from miras.canonical.editing import edit
from miras.canonical.gate_maps import UP_TO_GATES
from miras.canonical.parts import PARTS
from miras.canonical.steps import STEPS
from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.composition.either import basic, wiring
from miras.gate import Gate
from miras.gate.recurrent import Recurrent
from miras.gate.sigmoid import Sigmoid
from miras.memory import Memory, Wiring
from miras.part import Part

Plain: TypeAlias = Union[dict[str, "Plain"], str, float, int, bool, None]  # noqa: UP007 - recursive

SLOTS = ("architecture", "bias", "retention", "optimizer", "wiring")
TITLES = ("name", "paper", "equation", "departures")


class Normal(NamedTuple):
    """The simplest memory that a memory is equal to."""

    memory: Memory
    gates: tuple[str, ...]  # the maps under which it is; empty: it is equal from the same tensors


class Difference(NamedTuple):
    """One choice in which two memories differ."""

    where: str  # path of the field, such as `optimizer.gradient_at`
    here: str
    there: str
    size: int  # values to change: a part of another kind brings its settings along


class Nearest(NamedTuple):
    """The known memory with the fewest differences."""

    name: str
    differences: tuple[Difference, ...]


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
        for rule in (*PARTS, *STEPS):
            found = rule(found)
        if found == memory:
            return found
        memory = found


def normal_form(memory: AnyCell) -> dict[str, Plain]:
    """The normal form as plain data: what differs from a default, and the maps of gates if any."""
    if isinstance(memory, Composition):
        return _composed(memory)
    found = normal(memory)
    form: dict[str, Plain] = {slot: _plain(getattr(found.memory, slot)) for slot in SLOTS}
    return form | ({"gates": "; ".join(found.gates)} if found.gates else {})


def _composed(memory: Composition) -> dict[str, Plain]:
    own: dict[str, Plain] = {"compose": kind_of(memory)}
    own |= {name: _plain(getattr(memory, name)) for name in _settings(memory)}
    own["wiring"] = _plain(wiring(memory))
    cells = {str(place): normal_form(cell) for place, cell in enumerate(_bare(memory))}
    return own | {"of": cast(Plain, cells)}


def _settings(memory: Composition) -> list[str]:
    """Fields of the composition itself."""
    return [n for n in type(memory).model_fields if n not in (*TITLES, "compose", "of", "wiring")]


def _bare(memory: Composition) -> list[AnyCell]:
    """The cells as they count here: nothing is built around an operator's cell."""
    if memory.layered:
        return list(memory.cells)
    return [edit(cell, wiring=Wiring()) for cell in memory.cells]


def key(memory: AnyCell) -> str:
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


def operator(memory: AnyCell) -> AnyCell:
    """The memory as `miras.run` sees it: every gate a tensor, however it was made, and no layer."""

    def bare(part: Part) -> Part:
        given = {name: getattr(part, name) for name in type(part).model_fields}
        gates = {name: _seen(gate) for name, gate in given.items() if isinstance(gate, Gate)}
        return edit(part, **gates)

    if isinstance(memory, Composition):
        cells = tuple(operator(cell) for cell in memory.cells)
        one = isinstance(getattr(memory, "of", ()), Part)
        own = cast(Composition, bare(memory))
        return edit(own, wiring=Wiring(), of=(cells[0] if one else cells) if cells else None)
    slots = {slot: bare(getattr(memory, slot)) for slot in SLOTS}
    return edit(memory, **(slots | {"wiring": Wiring()}))


def _seen(gate: Gate) -> Gate:
    """What the operator sees of a gate: a number or a derived gate stays, others are a tensor."""
    if gate.fixed is not None or gate.derived:
        return gate
    return Recurrent() if gate.recurrent else Sigmoid()


def written(part: Part) -> str:
    """A part as it may stand in YAML, in one line, with the settings that are not defaults."""
    return _text(_plain(part))


def equals(memory: AnyCell, known: Mapping[str, AnyCell] | None = None) -> tuple[str, ...]:
    """Names of the known memories with the key of this one."""
    own = key(memory)
    return tuple(name for name, other in _known(known).items() if key(other) == own)


def differences(a: AnyCell, b: AnyCell) -> tuple[Difference, ...]:
    """Where the normal forms differ; a part of another kind is named once, with its settings."""
    if isinstance(a, Memory) and isinstance(b, Memory):
        return _differences(normal(a), normal(b))
    if isinstance(a, Composition) and isinstance(b, Composition) and type(a) is type(b):
        return tuple(_between(a, b))
    kinds = [kind_of(each) if isinstance(each, Composition) else "one cell" for each in (a, b)]
    apart = min(distance(one, other) for one in _inner(a) for other in _inner(b))
    own = [set(normal_form(each)) - {"of", *SLOTS} for each in (a, b)]
    return (Difference("compose", *kinds, size=apart + len(own[0] ^ own[1]) + 1),)


def _inner(memory: AnyCell) -> tuple[Memory, ...]:
    """The memories at the bottom, as `miras.run` sees them; one plain one where there is none."""
    return tuple(operator(each) for each in basic(memory)) or (Memory(architecture=Matrix()),)


def _between(a: Composition, b: Composition) -> Iterator[Difference]:
    """Differences of two compositions of one kind: settings, then cell by cell."""
    for name in _settings(a):
        yield from _compare(name, getattr(a, name), getattr(b, name))
    yield from _compare("wiring", wiring(a), wiring(b))
    here, there = _bare(a), _bare(b)
    for place, (cell, other) in enumerate(zip(here, there, strict=False)):
        for found in differences(cell, other):
            yield found._replace(where=f"of.{place}.{found.where}")
    if len(here) != len(there):
        more = max(here, there, key=len)[min(len(here), len(there)) :]
        size = sum(_values(cast(Plain, normal_form(cell))) for cell in more)
        yield Difference("of", f"{len(here)} cells", f"{len(there)} cells", size)


def _differences(here: Normal, there: Normal) -> tuple[Difference, ...]:
    found = [
        difference
        for slot in SLOTS
        for difference in _compare(slot, getattr(here.memory, slot), getattr(there.memory, slot))
    ]
    if here.gates != there.gates:
        maps = (", ".join(gates) or "as they are" for gates in (here.gates, there.gates))
        found.append(Difference("gates", *maps, size=1))
    return tuple(found)


def distance(a: AnyCell, b: AnyCell) -> int:
    """Number of values in which the normal forms differ."""
    return _size(differences(a, b))


def _size(found: tuple[Difference, ...]) -> int:
    return sum(difference.size for difference in found)


def nearest(memory: AnyCell, known: Mapping[str, AnyCell] | None = None) -> Nearest:
    """The nearest known memory with another key; differences of the operator count first."""
    bare, same = operator(memory), key(memory)

    def far(found: Nearest) -> tuple[int, int]:
        return distance(bare, operator(among[found.name])), _size(found.differences)

    among = {name: other for name, other in _known(known).items() if key(other) != same}
    return min(
        (Nearest(name, differences(memory, other)) for name, other in among.items()), key=far
    )


def _known(known: Mapping[str, AnyCell] | None) -> Mapping[str, AnyCell]:
    from miras.known import known as named  # reads files, which comparing two memories need not

    return named() if known is None else known


def _compare(where: str, here: object, there: object) -> Iterator[Difference]:
    if isinstance(here, Part) and type(here) is type(there):
        for name in type(here).model_fields:
            yield from _compare(f"{where}.{name}", getattr(here, name), getattr(there, name))
    elif _plain(here) != _plain(there):
        sides = _plain(here), _plain(there)
        size = max(_values(side) for side in sides)
        yield Difference(where, _text(sides[0]), _text(sides[1]), size)


def _plain(value: object) -> Plain:
    """A part as its kind, or as a dict of the fields that differ from their defaults."""
    if isinstance(value, float):
        return float(f"{value:.12g}")  # 1 - 0.9 is 0.1
    if not isinstance(value, Part):
        return cast(Plain, value)
    fields = dict(type(value).model_fields)
    kind = {"kind": fields.pop("kind").get_default()} if "kind" in fields else {}
    chosen = {
        name: _plain(getattr(value, name))
        for name, field in fields.items()
        if getattr(value, name) != field.get_default()
    }
    return kind["kind"] if kind and not chosen else kind | chosen


def _values(plain: Plain) -> int:
    return sum(_values(each) for each in plain.values()) if isinstance(plain, dict) else 1


def _text(plain: Plain) -> str:
    if isinstance(plain, dict):
        return "{" + ", ".join(f"{name}: {_text(each)}" for name, each in plain.items()) + "}"
    if isinstance(plain, float):
        return f"{plain:g}"
    return (
        "none" if plain is None else str(plain).lower() if isinstance(plain, bool) else str(plain)
    )
