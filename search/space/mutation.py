"""A known memory of which a few places are changed, whatever else stays as it is.

A *place* is one of the four choices, or a setting of what the known memory has there, at any depth:
`bias`, `retention.axis`, `optimizer.step.scale`; in a composition also a setting of its own, and
the places of its cells: `of.0.bias`. To change a choice is to take another kind, with all that may
be set in it; to change a setting is to take another value. So one place counts as one change, no
memory can be reached in two ways, and none but the known one has no change.

Which places are changed is chosen first (`changes`, `change.1`, `change.2`, in the order of the
places), then the memory is a space like others: what stands in a place has the name that it would
have if the hole were written there.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from miras.memory import Memory, Wiring
from miras.part import Part

from .nodes import Choice, Fields, Fixed, Items, Mutation, Node, joined, lies_in, ways
from .opening import TITLES, everything, hole_of, opened, type_of

SIZES = frozenset({"heads", "key_dim", "value_dim"})
"""Settings of the wiring that are no places: the size of a memory is not what is searched for."""

KEPT = 4_096
"""Memories with holes in their places that are kept, so that what was asked of them is as well."""


def places_of(known: Part, parts: str) -> dict[str, Node]:
    """All that may stand in the places of a memory: `open` parts have settings, of `all` none."""
    return dict(sorted(_places(known, "", parts)))


def _places(part: Part, at: str, parts: str) -> Iterator[tuple[str, Node]]:
    for name, field in type(part).model_fields.items():
        if name in ("kind", "compose", *TITLES) or (isinstance(part, Wiring) and name in SIZES):
            continue
        path, value = joined(at, name), getattr(part, name)
        if isinstance(value, tuple):
            for index, item in enumerate(cast("tuple[Any, ...]", value)):
                if isinstance(item, Part):
                    yield from _places(item, joined(path, index), parts)
            continue
        slot = isinstance(part, Memory) and name != "wiring"
        if slot:
            wanted = type_of(field)
            found = opened(wanted) if parts == "open" else everything(wanted)
        else:
            hole = hole_of(type(part), name)
            found = list(hole.options.items()) if isinstance(hole, Choice) else []
        others = [option for option in found if not _is(option[1], value)]
        if others:
            yield path, Choice(dict(sorted(others))) if len(others) > 1 else others[0][1]
        if isinstance(value, Part):
            yield from _places(value, path, parts)


def _is(node: Node, value: Any) -> bool:
    """Whether a node is what stands there now; of a part, of the same kind."""
    kind = getattr(value, "kind", None) if isinstance(value, Part) else None
    match node:
        case Fixed(found) if isinstance(found, Mapping):
            return kind is not None and cast("Mapping[str, Any]", found).get("kind") == kind
        case Fixed(found):
            return found == value and type(found) is type(value)
        case Fields(_, entries):
            fixed = entries.get("kind")
            return kind is not None and isinstance(fixed, Fixed) and fixed.value == kind
        case _:
            return False


@lru_cache(100_000)
def next_places(
    places: tuple[str, ...], chosen: tuple[str, ...], left: int
) -> tuple[tuple[str, int], ...]:
    """Places that may be changed next, where `left` are still to be, and how many ways each opens.

    They come after those that are chosen, in their order, and neither is inside the other.
    """
    after = places.index(chosen[-1]) + 1 if chosen else 0
    found: list[tuple[str, int]] = []
    for index in range(after, len(places)):
        place = places[index]
        taken = (*chosen, place)
        if touches(place, chosen):
            continue
        rest = {each: 1 for each in places[index + 1 :] if not touches(each, taken)}
        if open_ways := ways(rest, left - 1)[left - 1]:
            found.append((place, open_ways))
    return tuple(found)


def touches(place: str, chosen: tuple[str, ...]) -> bool:
    """Whether a place is one of those that are chosen, inside of one, or around one."""
    return any(lies_in(place, each) or lies_in(each, place) for each in chosen)


_HOLED: dict[tuple[int, tuple[str, ...]], tuple[Mutation, Node]] = {}


def holed(mutation: Mutation, chosen: tuple[str, ...]) -> Node:
    """The known memory with holes in the chosen places; the same object whenever asked."""
    found = _HOLED.get((id(mutation), chosen))
    if found is None or found[0] is not mutation:
        while len(_HOLED) >= KEPT:
            del _HOLED[next(iter(_HOLED))]
        found = mutation, _holed(mutation, mutation.base, "", chosen)
        _HOLED[id(mutation), chosen] = found
    return found[1]


def _holed(mutation: Mutation, value: Any, at: str, chosen: tuple[str, ...]) -> Node:
    if at in chosen:
        return mutation.places[at]
    if not any(at == "" or lies_in(each, at) for each in chosen):
        return Fixed(_plain(value))
    if isinstance(value, Part):
        fields = [name for name in type(value).model_fields if name not in TITLES]
        entries = {
            name: _holed(mutation, getattr(value, name), joined(at, name), chosen)
            for name in fields
        }
        label = mutation.label if at == "" else str(getattr(value, "kind", ""))
        return Fields(label, entries)
    items = enumerate(value)
    return Items("", [_holed(mutation, item, joined(at, i), chosen) for i, item in items])


def _plain(value: Any) -> Any:
    """As data that describes it, titles left out."""
    if isinstance(value, Part):
        fields = (name for name in type(value).model_fields if name not in TITLES)
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[Any, ...]", value)]
    return value
