"""Known memories small enough to run token by token in a test."""

from typing import Any

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
