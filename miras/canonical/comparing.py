"""In what two memories differ, and which known memory is nearest; see `miras.canonical`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from miras.architecture.matrix import Matrix
from miras.canonical.forms import (
    CHOSEN,
    Normal,
    Plain,
    bare_cells,
    key,
    normal,
    normal_form,
    operator,
    plain,
    reduced,
    remembered,
    settings,
    stacked,
    text,
)
from miras.composition import AnyCell, Composition
from miras.composition import kind as kind_of
from miras.composition.either import basic, wiring
from miras.memory import Memory
from miras.part import Part
from miras.stack import Stack, layers_of


class Difference(NamedTuple):
    """One choice in which two memories differ."""

    where: str  # path of the field, such as `optimizer.gradient_at`
    here: str
    there: str
    size: int  # values to change: a part of another kind brings its settings along


class Distance(NamedTuple):
    """How far two memories are from each other; the smaller one has fewer values, then slots."""

    values: int  # values to change
    slots: int  # slots of a cell, and settings of compositions, that have such a value


class Nearest(NamedTuple):
    """The known memory with the fewest differences."""

    name: str
    differences: tuple[Difference, ...]


def equals(memory: AnyCell | Stack, known: Mapping[str, AnyCell] | None = None) -> tuple[str, ...]:
    """Names of the known memories with the key of this one."""
    own = key(memory)
    return tuple(name for name, other in _known(known).items() if key(other) == own)


def differences(a: AnyCell | Stack, b: AnyCell | Stack) -> tuple[Difference, ...]:
    """Where the normal forms differ; a part of another kind is named once, with its settings."""
    if isinstance(a, Stack) or isinstance(b, Stack):
        return tuple(_by_layer(layers_of(stacked(a)), layers_of(stacked(b))))
    a, b = reduced(a), reduced(b)
    if isinstance(a, Memory) and isinstance(b, Memory):
        return _differences(normal(a), normal(b))
    if isinstance(a, Composition) and isinstance(b, Composition) and type(a) is type(b):
        return tuple(_between(a, b))
    kinds = [kind_of(each) if isinstance(each, Composition) else "one cell" for each in (a, b)]
    apart = min(distance(one, other).values for one in _inner(a) for other in _inner(b))
    own = [_beside_slots(each) for each in (a, b)]
    return (Difference("compose", *kinds, size=apart + len(own[0] ^ own[1]) + 1),)


def _by_layer(a: Sequence[AnyCell], b: Sequence[AnyCell]) -> Iterator[Difference]:
    """Differences of two patterns, each repeated until it is as long as the longer one."""
    for layer in range(max(len(a), len(b))):
        for found in differences(a[layer % len(a)], b[layer % len(b)]):
            yield found._replace(where=f"pattern.{layer}.{found.where}")


def _beside_slots(memory: AnyCell) -> set[str]:
    """What a normal form says beside slots and cells."""
    if isinstance(memory, Composition):
        return {"compose", *settings(memory)}
    return {"gates"} if normal(memory).gates else set()


def _inner(memory: AnyCell) -> tuple[Memory, ...]:
    """The memories at the bottom, as `miras.run` sees them; one plain one where there is none."""
    return tuple(operator(each) for each in basic(memory)) or (Memory(architecture=Matrix()),)


def _between(a: Composition, b: Composition) -> Iterator[Difference]:
    """Differences of two compositions of one kind: settings, then cell by cell."""
    for name in settings(a):
        yield from _compare(name, getattr(a, name), getattr(b, name))
    yield from _compare("wiring", wiring(a), wiring(b))
    here, there = bare_cells(a), bare_cells(b)
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
        for slot in CHOSEN
        for difference in _compare(slot, getattr(here.memory, slot), getattr(there.memory, slot))
    ]
    if here.gates != there.gates:
        maps = (", ".join(gates) or "as they are" for gates in (here.gates, there.gates))
        found.append(Difference("gates", *maps, size=1))
    return tuple(found)


def distance(a: AnyCell | Stack, b: AnyCell | Stack) -> Distance:
    """Number of values, and of slots, in which the normal forms differ."""
    return _size(differences(a, b))


def _size(found: tuple[Difference, ...]) -> Distance:
    slots = {_slot(difference.where) for difference in found}
    return Distance(sum(difference.size for difference in found), len(slots))


def _slot(where: str) -> str:
    """`of.0.retention` of `of.0.retention.gate.bias`: the path to the choice itself."""
    path = where.split(".")
    inside = (n for n in range(0, len(path), 2) if path[n] not in ("of", "pattern"))
    deep = next(inside, len(path) - 1)
    return ".".join(path[: deep + 1])


def nearest(memory: AnyCell | Stack, known: Mapping[str, AnyCell] | None = None) -> Nearest:
    """The nearest known memory with another key; differences of the operator count first."""
    bare, same = operator(memory), key(memory)

    def far(found: Nearest) -> tuple[Distance, Distance]:
        return distance(bare, operator(among[found.name])), _size(found.differences)

    among = {name: other for name, other in _known(known).items() if key(other) != same}
    return min(
        (Nearest(name, differences(memory, other)) for name, other in among.items()), key=far
    )


def _known(known: Mapping[str, AnyCell] | None) -> Mapping[str, AnyCell]:
    from miras.known import known as named  # reads files, which comparing two memories need not

    return named() if known is None else known


@remembered
def _compare(where: str, here: object, there: object) -> tuple[Difference, ...]:
    if here is there:
        return ()
    if isinstance(here, Part) and type(here) is type(there):
        return tuple(
            found
            for name in type(here).model_fields
            for found in _compare(f"{where}.{name}", getattr(here, name), getattr(there, name))
        )
    sides = plain(here), plain(there)
    if sides[0] == sides[1]:
        return ()
    return (Difference(where, *map(text, sides), size=max(map(_values, sides))),)


def _values(plain: object) -> int:
    if not isinstance(plain, dict):
        return 1
    return sum(map(_values, cast(dict[str, object], plain).values()))
