"""From YAML with holes to nodes, every hole checked against the type that belongs in its place."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from miras.load import DataPath, Document, Problem, SpecFileError, nearest, validate
from miras.memory import Memory
from miras.part import Part

from .cells import cell, items
from .nodes import Choice, Fields, Fixed, Items, Mutation, Node, Number
from .opening import (
    TITLES,
    everything,
    fits,
    is_hole,
    items_of,
    label,
    opened,
    parts_of,
    type_of,
)


class Reader:
    """Turns data with holes into nodes; collects problems instead of stopping at the first."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def node(self, path: DataPath, wanted: Any, base: Any) -> Node:
        """What stands at a path, where `wanted` is the type that belongs there.

        `base` is what is there in the known memory that is being changed, if any.
        """
        data = self.document.value(path)
        if is_hole(data):
            return self.hole(path, data, wanted, base)
        if isinstance(data, list) and items_of(wanted)[0] is not None:
            return items(self, path, cast("list[Any]", data), wanted)
        found = parts_of(wanted)
        if found and isinstance(data, str | Mapping):
            given = cast("str | Mapping[str, Any]", data)
            return (
                cell(self, path, given, wanted, found)
                if Memory in found.values()
                else self.part(path, given, wanted, found, base)
            )
        return self.fixed(path, wanted)

    def fixed(self, path: DataPath, wanted: Any) -> Fixed:
        try:
            validate(self.document, wanted, at=path)
        except SpecFileError as error:
            self.problems += error.problems
        return Fixed(self.document.value(path))

    def complain(self, path: DataPath, message: str, at_key: bool = False) -> Fixed:
        self.problems.append(self.document.problem(path, message, at_key=at_key))
        return Fixed(None)

    def part(
        self,
        path: DataPath,
        data: str | Mapping[str, Any],
        wanted: Any,
        found: Mapping[str, type[Part]],
        base: Any,
    ) -> Node:
        single = found.get("")  # the wiring: there are no kinds of it
        given = data if isinstance(data, Mapping) else {"kind": data}
        base = cast("Mapping[str, Any]", base if isinstance(base, Mapping) else {})
        kind = "" if single else given.get("kind", base.get("kind"))
        if not isinstance(kind, str) or kind not in found:
            return self.fixed(path, wanted)
        base = base if base.get("kind", kind) == kind else {}
        entries: dict[str, Node] = {name: Fixed(value) for name, value in base.items()}
        entries |= self.settings(path, given, found[kind], base, ("kind",))
        if kind:
            entries = {"kind": Fixed(kind), **entries}
        return self.whole(path, kind, entries, wanted)

    def settings(
        self,
        path: DataPath,
        given: Mapping[str, Any],
        part: type[Part],
        base: Mapping[str, Any],
        known: tuple[str, ...],
    ) -> dict[str, Node]:
        """What is written of the fields of a part; those that are `known` are read elsewhere."""
        entries: dict[str, Node] = {}
        fields = part.model_fields
        for name in given:
            if name in known:
                continue
            if name in fields and name != "kind":
                entries[name] = self.node((*path, name), type_of(fields[name]), base.get(name))
            else:
                names = ", ".join(each for each in fields if each not in {"kind", *TITLES})
                message = f"no such setting{nearest(name, fields)}; write one of {names}"
                self.complain((*path, name), message, at_key=True)
        for name, field in fields.items():
            if field.is_required() and name not in entries and name not in base:
                self.complain((*path, name), f"is missing; add `{name}:` or `use:` a known memory")
        return entries

    def whole(self, path: DataPath, label: str, entries: Mapping[str, Node], wanted: Any) -> Node:
        """A part from what its fields hold: fixed, if nothing is left to choose."""
        if not all(isinstance(node, Fixed) for node in entries.values()):
            return Fields(label, entries)
        whole = {name: cast(Fixed, node).value for name, node in entries.items()}
        if not self.problems:
            self.builds(path, whole, wanted)
        return Fixed(whole)

    def builds(self, path: DataPath, value: Any, wanted: Any) -> None:
        """Whether a value without holes is right as a whole."""
        try:
            TypeAdapter[Any](wanted).validate_python(value)
        except ValidationError as error:
            self.complain(path, error.errors()[0]["msg"].removeprefix("Value error, "))

    def hole(self, path: DataPath, data: Mapping[str, Any], wanted: Any, base: Any) -> Node:
        key = next(key for key in data if key in ("any", "float", "int"))
        if data.keys() - ({key, "weights"} if key == "any" else {key}):
            return self.complain(
                path, "a hole has one key: write any, float or int alone (any may have weights)"
            )
        content = data[key]
        if key != "any":
            return self.number((*path, key), content, wanted, whole=key == "int")
        found: list[tuple[str, Node]] = []
        rest: list[str] = []
        weights = _Weights(self, path, data)
        items = cast("list[Any]", content if isinstance(content, list) else [content])
        if not items or not (isinstance(content, list) or content in _EVERY):
            message = "write `any: all`, `any: open`, or a list of choices: `any: [a, b]`"
            return self.complain((*path, "any"), message)
        for index, item in enumerate(items):
            if isinstance(item, str) and item in _EVERY:
                rest.append(item)
            else:
                node = self.node((*path, "any", index), wanted, base)
                weights.share(index, named := _named(label(item), node), node)
                found += named
        for word in rest:
            # What is written out beside `all` or `open` takes the place of what they would add.
            names = {name for name, _ in found}
            more = [option for option in _EVERY[word](wanted) if option[0] not in names]
            if not more and not found:
                return self.complain(path, f"`{word}` means nothing here; list the choices")
            weights.share(items.index(word), more)
            found += more
        names = [name for name, _ in found]
        for index, name in enumerate(names):
            if name in names[:index]:
                message = f"two choices are both {name!r}; keep one, or write their holes as one"
                self.complain((*path, "any", index), message)
        if len(found) == 1:
            return found[0][1]
        return Choice(dict(sorted(found, key=lambda option: option[0])), weights.found)

    def number(self, path: DataPath, content: Any, wanted: Any, whole: bool) -> Node:
        kind = "int" if whole else "float"
        usage = f"write `{{{kind}: [low, high]}}`" + ("" if whole else ", or [low, high, log]")
        ends = cast("list[Any]", content) if isinstance(content, list) else []
        log = not whole and len(ends) == 3 and ends[2] == "log"
        if log:
            ends = ends[:2]
        if len(ends) != 2 or not all(_is_number(end, whole) for end in ends):
            return self.complain(path, usage)
        low, high = ends
        if not low < high or (log and low <= 0):
            above = ", and above 0 for log" if log else ""
            return self.complain(path, f"the first number must be below the second{above}; {usage}")
        for index in (0, 1):
            self.fixed((*path, index), wanted)
        if not whole and not self.problems and not fits(low + (high - low) * 0.4142, wanted):
            return self.complain(path, "only whole numbers fit here; write `{int: [low, high]}`")
        return Number(float(low), float(high), log, whole)


_EVERY = {"all": everything, "open": opened}
"""Words for choices that nobody has to list."""


class _Weights:
    """The weights of a hole, by option: what an item adds together has the weight of the item."""

    def __init__(self, reader: Reader, path: DataPath, data: Mapping[str, Any]) -> None:
        self.given: list[float] | None = None
        self.found: dict[str, float] = {}
        if "weights" not in data:
            return
        content, items = data["weights"], data["any"]
        if not isinstance(items, list) or len(cast("list[Any]", items)) < 2:
            message = "weights belong to a list of choices: write `any: [a, b]` beside them"
        elif not isinstance(content, list) or len(cast("list[Any]", content)) != len(
            cast("list[Any]", items)
        ):
            count = len(cast("list[Any]", items))
            message = f"write one number for each of the {count} choices: `weights: [3, 1]`"
        elif not all(_is_number(each, False) and each > 0 for each in cast("list[Any]", content)):
            message = "a weight is a number above 0; leave out choices that are never to be taken"
        else:
            self.given = [float(each) for each in cast("list[Any]", content)]
            return
        reader.complain((*path, "weights"), message)

    def share(self, index: int, named: list[tuple[str, Node]], node: Node | None = None) -> None:
        """Give the options of an item their share of its weight."""
        inner: Mapping[str, float] = node.weights if isinstance(node, Choice) else {}
        if self.given is None and not inner:
            return
        weight = self.given[index] if self.given else float(len(named))
        whole = sum(inner.get(name, 1.0) for name, _ in named)
        self.found |= {name: weight * inner.get(name, 1.0) / whole for name, _ in named}


def _is_number(value: Any, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return isfinite(value)


def _named(name: str, node: Node) -> list[tuple[str, Node]]:
    """A choice under its name; the choices of a hole inside a hole join those around it."""
    match node:
        case Choice(options):
            return list(options.items())
        case Fields(_, entries):
            return [(name, Fields(name, entries))]
        case Number(whole=whole):
            return [("int" if whole else "float", node)]
        case Fixed() | Items() | Mutation():
            return [(name, node)]
