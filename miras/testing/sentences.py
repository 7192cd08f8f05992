"""Random memories, read off the fields of whatever parts are installed."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from miras.known import cells
from miras.memory import SLOTS, Memory
from miras.part import Part, SpecError, leaves

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


ATTEMPTS = 2000
"""Memories drawn before one gives up: many parts and settings do not fit together."""

PATIENCE = 100
"""Of these with one kind: kinds that fit little else would hardly be drawn otherwise."""

KEPT, ALTERED = 0.2, 0.75
"""A part stays below the one, has settings drawn below the other, and is another one above."""

REACH = 4
"""How far beyond its one bound a number is drawn."""


def memories(where: Callable[[Memory], bool] | None = None) -> "SearchStrategy[Memory]":
    """`random_memory` as a strategy of hypothesis.

    Hypothesis draws only the seed. Drawing every field by itself shrinks better and repeats itself:
    of 200 examples 67 were different.
    """
    from hypothesis import strategies as st

    return st.randoms(use_true_random=True).map(lambda random: random_memory(random, where))


def parts(package: str) -> "SearchStrategy[Part]":
    """`random_part` of one axis, such as `miras.bias`, as a strategy of hypothesis."""
    from hypothesis import strategies as st

    kinds = list(leaves(package).values())
    randoms = st.randoms(use_true_random=True)
    return randoms.map(lambda random: random_part(random.choice(kinds), random))


def random_memory(random: Random, where: Callable[[Memory], bool] | None = None) -> Memory:
    """A memory whose parts fit together, its fields within their bounds.

    It is a variation of a memory of default parts or of a known one: every part may be kept, have
    some of its settings drawn, or be drawn anew. One starts from a part of any axis, all kinds of
    it equally likely. `where` keeps memories for which it is true, and starts from such.
    """
    groups = _starts(where) or _starts(None)
    group: list[Memory] = []
    for attempt in range(ATTEMPTS):
        if attempt % PATIENCE == 0:
            group = random.choice(random.choice(groups))
        with suppress(SpecError, ValidationError):
            memory = _varied(random.choice(group), random)
            if where is None or where(memory):
                return memory
    raise SpecError(f"none of {ATTEMPTS} random memories was of the kind asked for")


def random_part(part: type[Part], random: Random) -> Part:
    """A part whose fields lie within their bounds, two or so of them away from their default."""
    for _ in range(ATTEMPTS):
        with suppress(SpecError, ValidationError):
            return _part(part, random)
    raise SpecError(f"none of {ATTEMPTS} random settings of {part.__name__} was legal")


def _part(part: type[Part], random: Random, before: Part | None = None) -> Part:
    """Some settings drawn, the others as they were before, or their defaults."""
    share = min(1 / 2, 2 / max(1, len(part.model_fields) - 1))
    fields = {
        name: _of_field(field, random, share, getattr(before, name, field.get_default()))
        for name, field in part.model_fields.items()
    }
    return part(**fields)


def _varied(memory: Memory, random: Random) -> Memory:
    chosen: dict[str, Any] = {}
    for axis in SLOTS:
        kept: Part = getattr(memory, axis)
        dice = random.random()
        if dice < KEPT:
            chosen[axis] = kept
        elif dice < ALTERED:
            chosen[axis] = _part(type(kept), random, kept)
        else:
            chosen[axis] = random_part(
                random.choice(list(leaves(f"miras.{axis}").values())), random
            )
    return Memory(**chosen)


@cache
def _starts(where: Callable[[Memory], bool] | None) -> list[list[list[Memory]]]:
    """Memories to begin with, by axis and kind."""
    axes: list[list[list[Memory]]] = []
    fitting = [each for each in (*cells().values(), *_defaults()) if where is None or where(each)]
    for axis in SLOTS:
        found: dict[type[Part], list[Memory]] = {}
        for memory in fitting:
            part: Part = getattr(memory, axis)
            found.setdefault(type(part), []).append(memory)
        axes.append(list(found.values()))
    return axes if fitting else []


@cache
def _defaults() -> list[Memory]:
    """The memory of every four kinds that fit together at their default settings."""
    found: list[Memory] = []
    for kinds in itertools.product(*(leaves(f"miras.{axis}") for axis in SLOTS)):
        with suppress(SpecError, ValidationError):
            found.append(Memory(**cast(Any, dict(zip(SLOTS, kinds, strict=True)))))
    return found


def _of_field(field: FieldInfo, random: Random, share: float, before: Any) -> Any:
    if before is not PydanticUndefined and random.random() >= share:
        return before
    return _of_type(field.annotation, list(field.metadata), before, random)


def _of_type(kind: Any, bounds: list[Any], default: Any, random: Random) -> Any:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        return _of_type(inner, bounds + more, default, random)
    if origin is Literal:
        return random.choice(get_args(kind))
    if origin in (Union, UnionType):
        return _of_type(random.choice(get_args(kind)), bounds, default, random)
    if kind is bool:
        return random.random() < 1 / 2
    if kind is NoneType:
        return None
    if kind in (int, float):
        return _number(kind, bounds, random)
    if isinstance(kind, type) and issubclass(kind, Part):
        return random_part(kind, random)
    return default


def _number(kind: type, bounds: list[Any], random: Random) -> Any:
    """Sixteenths of the range, so that examples can be read; whole numbers as they are."""

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
        return random.randint(low + open_low, min(high, low + REACH) - open_high)
    place = random.randint(0 + open_low, 16 - open_high)
    return round(low + (high - low) * place / 16, 6)
