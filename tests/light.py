"""Known memories small enough to run token by token in a test."""

from typing import Any

from pydantic import TypeAdapter

from miras.composition import AnyCell, Composition
from miras.known import known, overlay

SMALL: dict[str, Any] = {
    "layers": 1,
    "heads": 2,
    "feedforward": 8,
    "of": {
        "architecture": {"size": 6, "addresses": 2, "top": 3, "bottleneck": 5},
        "optimizer": {"dream": {"layers": 1, "heads": 2, "every": 4}},
        "wiring": {"key_dim": 8, "value_dim": 8},
    },
}
"""A controller of one layer around a bank of few slots: everything that the large one does."""


def light(name: str) -> AnyCell:
    """The known memory of this name; with fewer slots and layers where a controller drives it."""
    found = known()[name]
    if not isinstance(found, Composition) or getattr(found, "compose", "") != "controller":
        return found
    return type(found).model_validate(overlay(found.model_dump(), SMALL))


SPANS = {"batch": 8, "chunk": 8, "every": 8, "period": 8, "segment": 8, "slots": 4, "window": 4}
"""Settings that count tokens after which something happens, and how many are enough."""


def brisk(name: str) -> AnyCell:
    """The light memory of this name in which everything happens within a few tokens."""
    return TypeAdapter[AnyCell](AnyCell).validate_python(_short(light(name).model_dump()))


def _short(plain: Any) -> Any:
    if isinstance(plain, dict):
        fields: dict[str, Any] = plain
        return {
            key: min(value, SPANS[key])
            if key in SPANS and isinstance(value, int)
            else _short(value)
            for key, value in fields.items()
        }
    if isinstance(plain, list | tuple):
        items: list[Any] = list(plain)
        return [_short(item) for item in items]
    return plain
