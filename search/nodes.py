"""What a space is made of: what is fixed, one of several, or a number between two ends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fixed:
    """Nothing to choose."""

    value: Any


@dataclass(frozen=True)
class Number:
    """A number between two ends, both included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Fields:
    """A part, or a whole memory, with something to choose inside; `label` is its choice's name."""

    label: str
    entries: Mapping[str, "Node"]


@dataclass(frozen=True)
class Choice:
    """One of several; by name, in alphabetical order."""

    options: Mapping[str, "Node"]


Node = Fixed | Number | Fields | Choice


def size(node: Node) -> int:
    """Ways to fill the holes below a node; a real number counts as one."""
    match node:
        case Fixed():
            return 1
        case Number(low, high, whole=whole):
            return int(high - low) + 1 if whole else 1
        case Fields(_, entries):
            product = 1
            for entry in entries.values():
                product *= size(entry)
            return product
        case Choice(options):
            return sum(size(option) for option in options.values())


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    match node:
        case Fields(_, inner) | Choice(inner):
            for each in inner.values():
                yield from walk(each)
        case _:
            pass
