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

`operator` leaves of a memory what `miras.run` computes on raw tensors: how gates are made and how a
layer is wired around it is dropped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias, Union, cast

from miras.canonical.editing import edit
from miras.canonical.gate_maps import UP_TO_GATES
from miras.canonical.parts import PARTS
from miras.canonical.steps import STEPS
from miras.gate import Gate
from miras.gate.recurrent import Recurrent
from miras.gate.sigmoid import Sigmoid
from miras.memory import Memory, Wiring
from miras.part import Part

Plain: TypeAlias = Union[dict[str, "Plain"], str, float, int, bool, None]  # noqa: UP007 - recursive

SLOTS = ("architecture", "bias", "retention", "optimizer", "wiring")


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


def normal_form(memory: Memory) -> dict[str, Plain]:
    """The normal form as plain data: what differs from a default, and the maps of gates if any."""
    found = normal(memory)
    form: dict[str, Plain] = {slot: _plain(getattr(found.memory, slot)) for slot in SLOTS}
    return form | ({"gates": "; ".join(found.gates)} if found.gates else {})


def key(memory: Memory) -> str:
    """16 hexadecimal digits, the same in every process, equal if the memories train one model."""
    form = {name: value for name, value in normal_form(memory).items() if name != "gates"}
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def operator(memory: Memory) -> Memory:
    """The memory as `miras.run` sees it: every gate a tensor, however it was made, and no layer."""

    def bare(part: Part) -> Part:
        given = {name: getattr(part, name) for name in type(part).model_fields}
        gates = {name: _seen(gate) for name, gate in given.items() if isinstance(gate, Gate)}
        return edit(part, **gates)

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


def equals(memory: Memory, known: Mapping[str, Memory] | None = None) -> tuple[str, ...]:
    """Names of the known memories with the key of this one."""
    own = key(memory)
    return tuple(name for name, other in _known(known).items() if key(other) == own)


def differences(a: Memory, b: Memory) -> tuple[Difference, ...]:
    """Where the normal forms differ; a part of another kind is named once, with its settings."""
    return _differences(normal(a), normal(b))


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


def distance(a: Memory, b: Memory) -> int:
    """Number of values in which the normal forms differ."""
    return _size(differences(a, b))


def _size(found: tuple[Difference, ...]) -> int:
    return sum(difference.size for difference in found)


def nearest(memory: Memory, known: Mapping[str, Memory] | None = None) -> Nearest:
    """The nearest known memory with another key; differences of the operator count first."""
    own, bare, same = normal(memory), normal(operator(memory)), key(memory)

    def far(found: Nearest) -> tuple[int, int]:
        operators = _differences(bare, normal(operator(among[found.name])))
        return _size(operators), _size(found.differences)

    among = {name: other for name, other in _known(known).items() if key(other) != same}
    return min(
        (Nearest(name, _differences(own, normal(other))) for name, other in among.items()), key=far
    )


def _known(known: Mapping[str, Memory] | None) -> Mapping[str, Memory]:
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
