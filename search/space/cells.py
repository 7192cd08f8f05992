"""Cells with holes: memories, compositions of them, known ones, and known ones that are changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic.fields import FieldInfo

from miras.composition import Composition
from miras.known import known
from miras.load import DataPath, nearest
from miras.part import Part

from .mutation import places_of
from .nodes import Choice, Fields, Fixed, Items, Mutation, Node, joined, ways
from .opening import TITLES, is_hole, items_of, type_of

if TYPE_CHECKING:
    from .holes import Reader

MUTATING = ("mutate", "changes", "among")
MOST_CHANGES = 16


def items(reader: "Reader", path: DataPath, data: list[Any], wanted: Any) -> Node:
    """A list of cells."""
    item, fewest, most = items_of(wanted)
    if len(data) < fewest or (most is not None and len(data) > most):
        count = f"{fewest}" if fewest == most else f"at least {fewest}"
        return reader.complain(path, f"{len(data)} written where {count} belong: change the list")
    found = [reader.node((*path, index), item, {}) for index in range(len(data))]
    if all(isinstance(node, Fixed) for node in found):
        return Fixed([cast(Fixed, node).value for node in found])
    return Items("", found)


def cell(
    reader: "Reader",
    path: DataPath,
    data: str | Mapping[str, Any],
    wanted: Any,
    found: Mapping[str, type[Part]],
) -> Node:
    """A memory or a composition; `found` are their classes, the memory is called ``."""
    if isinstance(data, Mapping) and "mutate" in data:
        return _mutated(reader, path, data, wanted)
    given = data if isinstance(data, Mapping) else {"use": data}
    base: Mapping[str, Any] = {}
    if "use" in given:
        name = str(given["use"])
        if name not in known():
            place = (*path, "use") if isinstance(data, Mapping) else path
            hint = nearest(name, known()) or "; `miras ls known` lists them"
            return reader.complain(place, f"there is no known memory {name!r}{hint}")
        base = _plain(known()[name])
        if "compose" in given and given["compose"] != base.get("compose"):
            message = "is of another kind: leave `use:` out, or put the known memory under `of:`"
            return reader.complain((*path, "use"), f"{name} {message}")
    return _filled(reader, path, given, wanted, found, base)


def _filled(
    reader: "Reader",
    path: DataPath,
    given: Mapping[str, Any],
    wanted: Any,
    found: Mapping[str, type[Part]],
    base: Mapping[str, Any],
) -> Node:
    kinds = _kinds(reader, path, given.get("compose", base.get("compose", "")), found)
    if not kinds:
        return Fixed(None)
    parts = [found[kind] for kind in kinds]
    for name in given:
        of = [part for part in parts if name in part.model_fields]
        lists = {items_of(part.model_fields[name].annotation)[0] is not None for part in of}
        if of and (len(of) < len(parts) or len(lists) > 1):
            message = f"not the same in {' and '.join(kinds)}: write them as two choices"
            return reader.complain((*path, name), message, at_key=True)
    entries: dict[str, Node] = {}
    if kinds != [""]:
        several = {kind: Fixed(kind) for kind in sorted(kinds)}
        entries["compose"] = Choice(several) if len(several) > 1 else Fixed(kinds[0])
    entries |= {name: Fixed(value) for name, value in base.items() if name != "compose"}
    entries |= reader.settings(path, given, parts[0], base, ("use", "compose", "kind"))
    if "kind" in given:
        names = ", ".join(each for each in parts[0].model_fields if each not in TITLES)
        message = f"no such setting; write one of {names}"
        reader.complain((*path, "kind"), message, at_key=True)
    entries = {name: node for name, node in entries.items() if name not in TITLES}
    return reader.whole(path, "", entries, wanted)


def _kinds(
    reader: "Reader", path: DataPath, compose: Any, found: Mapping[str, type[Part]]
) -> list[str]:
    """The kinds of composition that are written; `` for a memory, nothing if they are wrong."""
    content = cast("Mapping[str, Any]", compose).get("any") if is_hole(compose) else compose
    given = cast("list[Any]", content if isinstance(content, list) else [content])
    known_kinds = [kind for kind in found if kind]
    for kind in given:
        if kind not in found or (kind == "" and len(given) > 1):
            hint = nearest(str(kind), known_kinds)
            message = f"no such composition{hint}; write one of {', '.join(known_kinds)}"
            reader.complain((*path, "compose"), message)
            return []
    return list(dict.fromkeys(map(str, given)))


def _mutated(reader: "Reader", path: DataPath, data: Mapping[str, Any], wanted: Any) -> Node:
    """A known memory, or one of several, of which some places are changed."""
    for name in data:
        if name not in (*MUTATING, *TITLES):
            message = f"no such setting{nearest(name, MUTATING)}; write mutate, changes or among"
            reader.complain((*path, name), message, at_key=True)
    base = reader.node((*path, "mutate"), wanted, {})
    limits = _changes(reader, path, data.get("changes", 1))
    if reader.problems or limits is None:
        return Fixed(None)
    options = base.options if isinstance(base, Choice) else {"": base}
    found: dict[str, Node] = {}
    for label, option in options.items():
        if not isinstance(option, Fixed):
            message = "has holes already: name a known memory, or write one without holes"
            return reader.complain((*path, "mutate"), message)
        memory = option.read(wanted)
        places = _places(reader, path, data, memory, wanted)
        if reader.problems:
            return Fixed(None)
        most = ways(dict.fromkeys(places, 1), limits[1])
        if not most[-1]:
            count = max(number for number, found_ways in enumerate(most) if found_ways)
            message = f"{limits[1]} changes, and {count} places that can change: write fewer"
            return reader.complain((*path, "changes"), message)
        found[label] = Mutation("", memory, places, *limits)
    return replace(base, options=found) if isinstance(base, Choice) else found[""]


def _changes(reader: "Reader", path: DataPath, given: Any) -> tuple[int, int] | None:
    """The fewest and the most places that are changed."""
    ends: Any = [1, given]
    if isinstance(given, Mapping):
        hole = cast("Mapping[str, Any]", given)
        ends = hole.get("int") if len(hole) == 1 else None
    if isinstance(ends, list) and len(cast("list[Any]", ends)) == 2:
        low, high = cast("list[Any]", ends)
        whole = all(type(end) is int for end in (low, high))
        if whole and 0 <= low <= high <= MOST_CHANGES and high > 0:
            return low, high
    message = f"write how many places change at most, such as 2, or {{int: [1, {MOST_CHANGES}]}}"
    reader.complain((*path, "changes"), message)
    return None


def _places(
    reader: "Reader", path: DataPath, data: Mapping[str, Any], memory: Part, wanted: Any
) -> Mapping[str, Node]:
    """What may stand in which places of a memory."""
    among = data.get("among", "open")
    if among in ("open", "all"):
        return places_of(memory, among)
    at = (*path, "among")
    if not isinstance(among, Mapping) or isinstance(memory, Composition):
        message = "write open, all, or the holes of a memory: `{bias: {any: all}}`"
        reader.complain(at, message)
        return {}
    given = cast("Mapping[str, Any]", among)
    entries = reader.settings(at, given, type(memory), _plain(memory), ())
    return dict(sorted(_holes(entries, memory, "")))


def _holes(entries: Mapping[str, Node], part: Part, at: str) -> list[tuple[str, Node]]:
    """The outermost holes of what is written, without what stands there already."""
    found: list[tuple[str, Node]] = []
    for name, node in entries.items():
        path, value = joined(at, name), getattr(part, name)
        if isinstance(node, Fields) and isinstance(value, Part):
            kind = node.entries.get("kind")
            if isinstance(kind, Fixed) and kind.value == getattr(value, "kind", None):
                found += _holes({n: e for n, e in node.entries.items() if n != "kind"}, value, path)
                continue
        options = node.options if isinstance(node, Choice) else {"": node}
        wanted = type(part).model_fields[name]
        others = {
            label: option
            for label, option in options.items()
            if not (isinstance(option, Fixed) and _same(option, value, wanted))
        }
        if others and isinstance(node, Choice):
            weights = {label: node.weights[label] for label in others if label in node.weights}
            one = next(iter(others.values()))
            found.append((path, Choice(others, weights) if len(others) > 1 else one))
        elif others:
            found.append((path, node))
    return found


def _same(option: Fixed, value: Any, field: FieldInfo) -> bool:
    return bool(option.read(type_of(field)) == value)


def _plain(memory: Part) -> dict[str, Any]:
    """What the file of a known memory says, without its titles."""
    return memory.model_dump(mode="json", exclude_unset=True, exclude=set(TITLES))
