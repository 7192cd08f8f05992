"""What may stand in a field, read off its type: all of it, and how far a part can be opened."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from miras.known import cells
from miras.load import brief
from miras.part import Part

from .nodes import Choice, Fields, Fixed, Node, Number, adapter

TITLES = frozenset({"name", "paper", "equation", "departures"})
"""What a known memory says about itself: not true of a memory that was made from it."""

WIDE = 100.0
"""Ratio of two ends from which numbers between them are drawn by their logarithm."""

LONG = 8
"""A whole number is opened as it is if it may be one of so many or fewer."""

FEW = (1, 2, 4, 16)
"""Of other whole numbers these are offered, beside the default."""

EDGE = 1 / 64
"""How far inside an end that does not count numbers begin, as a share of the range."""

Options = list[tuple[str, Node]]

_NAMING = ("kind", "use", "mutate", "compose", "name")
"""Keys whose value names an option."""


def is_hole(data: Any) -> bool:
    return isinstance(data, Mapping) and not {"any", "float", "int"}.isdisjoint(
        cast("Mapping[str, Any]", data)
    )


def label(data: Any) -> str:
    """The name of a choice: `huber`, `sigmoid(scale=2)`; what is a hole is not in it."""
    if isinstance(data, Mapping):
        given = cast("Mapping[str, Any]", data)
        named = (given[key] for key in _NAMING if key in given)
        title = next((str(found) for found in named if not isinstance(found, Mapping)), "")
        fixed = (key for key in sorted(given) if key not in (*_NAMING, *TITLES))
        inner = ",".join(f"{key}={label(given[key])}" for key in fixed if not is_hole(given[key]))
        return f"{title}({inner})" if inner else title
    if isinstance(data, list):
        items = cast("list[Any]", data)
        return "[" + ",".join("any" if is_hole(item) else label(item) for item in items) + "]"
    if isinstance(data, bool) or data is None:
        return {True: "true", False: "false", None: "null"}[data]
    return str(data)


def type_of(field: FieldInfo) -> Any:
    """What may stand in a field, its limits included."""
    kind: Any = field.annotation
    if field.discriminator is not None:
        kind = Annotated[kind, Field(discriminator=field.discriminator)]
    return Annotated[kind, *field.metadata] if field.metadata else kind


def _alternatives(wanted: Any) -> Iterator[Any]:
    """The types of a union, without their limits."""
    inner = get_args(wanted)
    if get_origin(wanted) is Annotated:
        yield from _alternatives(inner[0])
    elif inner and get_origin(wanted) is not Literal:
        for each in inner:
            yield from _alternatives(each)
    else:
        yield wanted


def parts_of(wanted: Any) -> dict[str, type[Part]]:
    """The parts that may stand here by kind; one without a kind is called ``."""
    classes = [each for each in _alternatives(wanted) if isinstance(each, type)]
    return {_kind(each): each for each in classes if issubclass(each, Part)}


def _kind(part: type[Part]) -> str:
    tag = next((name for name in ("kind", "compose") if name in part.model_fields), "")
    return str(part.model_fields[tag].default) if tag else ""


def items_of(wanted: Any) -> tuple[Any, int, int | None]:
    """Of a list of parts: the type of an item, and how few and how many there may be."""
    if get_origin(wanted) is Annotated:
        inner = get_args(wanted)
        item, fewest, most = items_of(inner[0])
        limits = (getattr(each, "min_length", None) for each in inner[1:])
        return item, max([fewest, *(limit for limit in limits if limit)]), most
    arguments = get_args(wanted) if get_origin(wanted) is tuple else ()
    if not arguments or not parts_of(arguments[0]):
        return None, 0, None
    if arguments[-1] is Ellipsis:
        return arguments[0], 0, None
    return arguments[0], len(arguments), len(arguments)


def everything(wanted: Any) -> Options:
    """Every value that may stand here, if they can be listed; parts that build by name alone."""
    return _options(wanted, {kind: {"kind": kind} for kind in _by_name(wanted)})


def opened(wanted: Any) -> Options:
    """The same with every part opened: its own settings are holes, as far as they have ends.

    Parts inside a part are named and not opened: else there would be no end.
    """
    return _options(wanted, _by_name(wanted), inside=True)


def _options(wanted: Any, parts: Mapping[str, Any], inside: bool = False) -> Options:
    found: list[Any] = []
    for each in _alternatives(wanted):
        if get_origin(each) is Literal:
            found += get_args(each)
        elif each is bool:
            found += [False, True]
        elif each is NoneType:
            found.append(None)
        elif not (isinstance(each, type) and issubclass(each, Part)):
            return []
    options: Options = [(label(value), Fixed(value)) for value in found]
    return options + [(k, _opened(v) if inside else Fixed(v)) for k, v in parts.items()]


def _by_name(wanted: Any) -> dict[str, type[Part]]:
    """Parts that build by name alone: whoever wants another in a space writes its settings."""
    return {kind: part for kind, part in parts_of(wanted).items() if fits({"kind": kind}, part)}


@cache
def _opened(part: type[Part]) -> Node:
    """A part of which every setting is a hole that can be one."""
    kind = part.model_fields["kind"].default
    holes: dict[str, Node] = {}
    for name in part.model_fields:
        if name != "kind" and (hole := hole_of(part, name)) is not None:
            holes[name] = hole
    if not holes:
        return Fixed({"kind": kind})
    return Fields(kind, {"kind": Fixed(kind), **holes})


def hole_of(owner: type[Part], name: str) -> Node | None:
    """All that may stand in a field, where there are at least two of them and an end to them.

    A part that stands there is named with its usual settings, and with those of the field's default
    and of known memories.
    """
    field = owner.model_fields[name]
    found: Options = [(label(data), Fixed(data)) for data in _elsewhere(owner, name)]
    for kind, bounds in _bounded(type_of(field), ()):
        if kind is int:
            found += _whole(bounds, field.default)
        elif kind is float:
            number = _between(bounds)
            found += [("float", number)] if number else []
            if isinstance(field.default, int | float):
                found.append((label(field.default), Fixed(field.default)))
        else:
            listed = everything(kind)
            if not listed:
                return None
            found += listed
    wanted = type_of(field)
    found = [(name, node) for name, node in found if _allowed(node, wanted)]
    return Choice(dict(sorted(dict(found).items()))) if len(found) > 1 else None


def _elsewhere(owner: type[Part], name: str) -> list[dict[str, Any]]:
    """The parts that stand in a field by default and in known memories, as they are written."""
    default = owner.model_fields[name].get_default(call_default_factory=True, validated_data={})
    parts = [default] if isinstance(default, Part) else []
    parts += [part for place, part in _in_known_memories() if place == (owner, name)]
    written = [brief(part) for part in parts]
    return [data for place, data in enumerate(written) if data not in written[:place]]


@cache
def _in_known_memories() -> list[tuple[tuple[type[Part], str], Part]]:
    return [found for memory in cells().values() for found in _inside(memory)]


def _inside(part: Part) -> Iterator[tuple[tuple[type[Part], str], Part]]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Part):
            yield (type(part), name), value
            yield from _inside(value)


def _allowed(node: Node, wanted: Any) -> bool:
    return not isinstance(node, Fixed) or fits(node.value, wanted)


def _bounded(wanted: Any, bounds: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The types of a union with the limits that hold for each; all parts are one type."""
    inner = get_args(wanted)
    if parts_of(wanted) and NoneType not in _alternatives(wanted):
        yield wanted, bounds
    elif get_origin(wanted) is Annotated:
        yield from _bounded(inner[0], (*bounds, *inner[1:]))
    elif inner and get_origin(wanted) is not Literal:
        for each in inner:
            yield from _bounded(each, bounds)
    else:
        yield wanted, bounds


def _whole(bounds: tuple[Any, ...], default: Any) -> Options:
    """All whole numbers between the limits if they are not many, else a few."""
    low, high = _limits(bounds)
    if low is not None and high is not None and high - low < LONG:
        numbers = range(int(low), int(high) + 1)
    else:
        few = {default, *FEW} if isinstance(default, int) else FEW
        numbers = [n for n in few if (low is None or low <= n) and (high is None or n <= high)]
    return [(str(number), Fixed(number)) for number in numbers]


def _between(bounds: tuple[Any, ...]) -> Number | None:
    """A number between the limits, if there are two."""
    low, high = _limits(bounds)
    if low is None or high is None or low >= high:
        return None
    edge = (high - low) * EDGE
    low += edge * any(getattr(each, "gt", None) is not None for each in bounds)
    high -= edge * any(getattr(each, "lt", None) is not None for each in bounds)
    return Number(low, high, log=low > 0 and high / low >= WIDE)


def _limits(bounds: tuple[Any, ...]) -> tuple[int | float | None, int | float | None]:
    """The smallest and the largest number that are named, themselves allowed or not."""

    def limit(*names: str) -> int | float | None:
        found = (getattr(each, name, None) for each in bounds for name in names)
        return next((value for value in found if value is not None), None)

    return limit("ge", "gt"), limit("le", "lt")


def fits(value: Any, wanted: Any) -> bool:
    try:
        adapter(wanted).validate_python(value)
    except ValidationError:
        return False
    return True
