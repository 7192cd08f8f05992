"""Which choices make a memory: the way back from what is built to how it is derived."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from miras.canonical import normal
from miras.composition import AnyCell
from miras.memory import Memory
from miras.part import Part
from miras.stack import Stack

from .mutation import holed
from .nodes import (
    Choice,
    Fields,
    Fixed,
    Items,
    Mutation,
    Node,
    Number,
    Value,
    inner,
    joined,
    label_of,
    shortened,
)
from .opening import TITLES, items_of, type_of

Choices = dict[str, Value]


def choices_of(
    node: Node, value: Any, wanted: Any, hints: Mapping[str, Value] | None = None
) -> Choices | None:
    """The choices with which a node becomes a value; None if it cannot.

    Of a part every setting counts, titles do not. Where two options make the same, that of the
    `hints` is taken, else the first.
    """
    name = "memory" if isinstance(node, Choice) else ""
    return _choices(node, name, "", value, wanted, hints or {})


def placed(root: Node, memory: AnyCell) -> Choices | None:
    """The choices with which a space has a known memory, if it does.

    As it is, in its normal form, or as a pattern of it alone.
    """
    forms = [memory, normal(memory).memory] if isinstance(memory, Memory) else [memory]
    made = [choices_of(root, form, AnyCell) for form in forms]
    made += [choices_of(root, Stack(pattern=(form,)), Stack) for form in forms]
    return next((choices for choices in made if choices is not None), None)


def _choices(
    node: Node, name: str, label: str, value: Any, wanted: Any, hints: Mapping[str, Value]
) -> Choices | None:
    match node:
        case Fixed():
            return {} if _is(node, value, wanted) else None
        case Number(low, high, whole=whole):
            number = isinstance(value, int if whole else int | float)
            fits = number and not isinstance(value, bool) and low <= value <= high
            return {shortened(inner(name, label)): value} if fits else None
        case Choice(options):
            hint = hints.get(shortened(name))
            for option in sorted(options, key=lambda option: option != hint):
                found = _choices(options[option], name, option, value, wanted, hints)
                if found is not None:
                    return {shortened(name): option} | found
            return None
        case Fields(_, entries):
            return _of_fields(entries, inner(name, label), value, wanted, hints)
        case Items(_, entries):
            if not isinstance(value, tuple):
                return None
            values = cast("tuple[Any, ...]", value)
            if len(values) != len(entries):
                return None
            inside, item = inner(name, label), items_of(wanted)[0]
            each = [
                _choices(entry, joined(inside, i), label_of(entry), values[i], item, hints)
                for i, entry in enumerate(entries)
            ]
            return _together(each)
        case Mutation():
            return _of_mutation(node, inner(name, label), value, wanted, hints)


def _of_fields(
    entries: Mapping[str, Node], inside: str, value: Any, wanted: Any, hints: Mapping[str, Value]
) -> Choices | None:
    kind = entries.get("kind")
    named = kind.value if isinstance(kind, Fixed) else None
    if not isinstance(value, Part) or getattr(value, "kind", None) != named:
        return None
    if not entries.keys() - {"kind"} <= type(value).model_fields.keys():
        return None
    each: list[Choices | None] = []
    for name, field in type(value).model_fields.items():
        if name in TITLES or name == "kind":
            continue
        here = getattr(value, name)
        if name in entries:
            entry, at = entries[name], joined(inside, name)
            each.append(_choices(entry, at, label_of(entry), here, type_of(field), hints))
        else:
            same = untitled(here) == untitled(field.get_default(call_default_factory=True))
            each.append({} if same else None)
    return _together(each)


def _of_mutation(
    node: Mutation, inside: str, value: Any, wanted: Any, hints: Mapping[str, Value]
) -> Choices | None:
    places = _changed(node, node.base, value, "")
    if places is None or not node.low <= len(places) <= node.high:
        return None
    chosen = tuple(place for place in node.places if place in places)
    found = _choices(holed(node, chosen), inside, "", value, wanted, hints)
    if found is None:
        return None
    asked: Choices = {}
    if node.low < node.high:
        asked[shortened(joined(inside, "changes"))] = len(chosen)
    if len(node.places) > 1:
        for number, place in enumerate(chosen, 1):
            asked[shortened(joined(inside, f"change.{number}"))] = place
    return asked | found


def _changed(node: Mutation, base: Any, value: Any, at: str) -> set[str] | None:
    """The fewest places in which a value differs; None if it differs in others as well."""
    if untitled(base) == untitled(value):
        return set()
    inside: set[str] | None = None
    if isinstance(base, Part) and type(base) is type(value):
        inside = set()
        for name in type(base).model_fields:
            if name in TITLES:
                continue
            path = joined(at, name)
            found = _changed(node, getattr(base, name), getattr(value, name), path)
            inside = None if found is None or inside is None else inside | found
    elif isinstance(base, tuple) and isinstance(value, tuple):
        pair = cast("tuple[tuple[Any, ...], tuple[Any, ...]]", (base, value))
        inside = set() if len(pair[0]) == len(pair[1]) else None
        for index, (one, other) in enumerate(zip(*pair, strict=False)):
            found = _changed(node, one, other, joined(at, index))
            inside = None if found is None or inside is None else inside | found
    if inside is not None:
        return inside
    return {at} if at in node.places else None


def _is(node: Fixed, value: Any, wanted: Any) -> bool:
    try:
        return bool(untitled(node.read(wanted)) == untitled(value))
    except ValidationError:  # what stands there is right in another kind of composition
        return False


def _together(each: list[Choices | None]) -> Choices | None:
    found: Choices = {}
    for choices in each:
        if choices is None:
            return None
        found |= choices
    return found


def untitled(value: Any) -> Any:
    """A value as it is compared: what known memories say about themselves does not count."""
    if isinstance(value, Part):
        fields = (name for name in type(value).model_fields if name not in TITLES)
        return type(value), tuple((name, untitled(getattr(value, name))) for name in fields)
    if isinstance(value, tuple):
        return tuple(untitled(item) for item in cast("tuple[Any, ...]", value))
    return value
