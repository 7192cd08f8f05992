"""Random memories for hypothesis, read off the fields of whatever parts are installed."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from miras.memory import Memory
from miras.part import Part, SpecError, leaves

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

AXES = ("architecture", "bias", "retention", "optimizer")

ATTEMPTS = 20
"""Draws of settings before an example is given up: not all settings of parts fit together."""

REACH = 4
"""How far beyond its one bound a number is drawn."""


def memories(where: Callable[[Memory], bool] | None = None) -> "SearchStrategy[Memory]":
    """Memories whose parts fit together, all their fields drawn within bounds.

    Architectures are equally likely, and so are the triples of other parts that fit one of them.
    One memory in eight is drawn without looking which parts fit at their default settings. `where`
    keeps those for which it is true, and starts from kinds of which the default memory is one.
    """
    from hypothesis import reject
    from hypothesis import strategies as st

    strategies = {
        axis: {kind: _of_part(part) for kind, part in leaves(f"miras.{axis}").items()}
        for axis in AXES
    }

    groups = _fitting(where) or _fitting(None)

    @st.composite
    def one(draw: "DrawFn") -> Memory:
        if draw(st.integers(0, 7)) == 7:
            kinds = tuple(draw(st.sampled_from(list(strategies[axis]))) for axis in AXES)
        else:
            kinds = draw(st.sampled_from(draw(st.sampled_from(groups))))
        chosen = {axis: strategies[axis][kind] for axis, kind in zip(AXES, kinds, strict=True)}
        for _ in range(ATTEMPTS):
            try:
                memory = Memory(**{axis: draw(part) for axis, part in chosen.items()})
            except (SpecError, ValidationError):
                continue
            if where is None or where(memory):
                return memory
        reject()

    return one()


def _fitting(where: Callable[[Memory], bool] | None) -> list[list[tuple[str, ...]]]:
    """Kinds that fit together at their default settings, by architecture."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for kinds, memory in _defaults().items():
        if where is None or where(memory):
            found.setdefault(kinds[0], []).append(kinds)
    return list(found.values())


@cache
def _defaults() -> dict[tuple[str, ...], Memory]:
    """The memory of every four kinds that fit together at their default settings."""
    found: dict[tuple[str, ...], Memory] = {}
    for kinds in itertools.product(*(leaves(f"miras.{axis}") for axis in AXES)):
        with suppress(SpecError, ValidationError):
            found[kinds] = Memory(**cast(Any, dict(zip(AXES, kinds, strict=True))))
    return found


def parts(package: str) -> "SearchStrategy[Part]":
    """Parts of one axis, such as `miras.bias`."""
    from hypothesis import strategies as st

    return st.one_of([_of_part(part) for part in leaves(package).values()])


def _of_part(part: type[Part]) -> "SearchStrategy[Any]":
    from hypothesis import reject
    from hypothesis import strategies as st

    fields = {name: _of_field(field) for name, field in part.model_fields.items()}

    @st.composite
    def one(draw: "DrawFn") -> Part:
        for _ in range(ATTEMPTS):
            try:
                return part(**{name: draw(values) for name, values in fields.items()})
            except (SpecError, ValidationError):
                continue
        reject()

    return one()


def _of_field(field: FieldInfo) -> "SearchStrategy[Any]":
    """The default as often as anything else."""
    from hypothesis import strategies as st

    default = field.get_default()
    known = [] if default is PydanticUndefined else [st.just(default)]
    return st.one_of([*known, _of_type(field.annotation, list(field.metadata))])


def _of_type(kind: Any, bounds: list[Any]) -> "SearchStrategy[Any]":
    from hypothesis import strategies as st

    origin = get_origin(kind)
    if origin is Annotated:
        return _of_type(get_args(kind)[0], bounds + list(get_args(kind)[1:]))
    if origin is Literal:
        return st.sampled_from(get_args(kind))
    if origin in (Union, UnionType):
        return st.one_of([_of_type(member, bounds) for member in get_args(kind)])
    if kind is bool:
        return st.booleans()
    if kind is NoneType:
        return st.none()
    if kind in (int, float):
        return _number(kind, bounds)
    if isinstance(kind, type) and issubclass(kind, Part):
        return _of_part(kind)
    return st.nothing()


def _number(kind: type, bounds: list[Any]) -> "SearchStrategy[Any]":
    """Sixteenths of the range, so that examples can be read; whole numbers as they are."""
    from hypothesis import strategies as st

    def bound(*names: str) -> Any:
        found = (getattr(item, name, None) for item in bounds for name in names)
        return next((value for value in found if value is not None), None)

    low, high = bound("ge", "gt"), bound("le", "lt")
    if low is None:
        low = -REACH if high is None else high - REACH
    if high is None:
        high = low + REACH
    open_low, open_high = bound("gt") is not None, bound("lt") is not None
    if kind is int:
        return st.integers(low + open_low, min(high, low + REACH) - open_high)
    sixteenths = st.integers(0 + open_low, 16 - open_high)
    return sixteenths.map(lambda place: round(low + (high - low) * place / 16, 6))
