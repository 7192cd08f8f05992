"""What a space is made of: what is fixed, one of several, or a number between two ends.

Every hole has a name, made of slot, kind and field: `optimizer.gd.step`. The names of the choices
that stand inside an option begin with that option's name, those of a cell with its place: `of.0.`.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from pydantic import TypeAdapter

LONGEST_NAME = 200

Value = str | int | float
"""What is chosen: the name of an option, or a number."""


@cache
def adapter(wanted: Any) -> Any:
    """What reads values of a type; made once, because that takes long."""
    return TypeAdapter[Any](wanted)


@dataclass(frozen=True)
class Fixed:
    """Nothing to choose."""

    value: Any
    _read: list[Any] = field(default_factory=list[Any], compare=False, repr=False)

    def read(self, wanted: Any) -> Any:
        """The value as what belongs here: a part where data describes one."""
        if not self._read:
            self._read.append(adapter(wanted).validate_python(self.value))
        return self._read[0]


@dataclass(frozen=True)
class Number:
    """A number between two ends, both included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def between(self, share: float) -> float:
        """The number at a share of the way from one end to the other, in its logarithm if `log`."""
        low, high = self.low, self.high
        if self.log:
            between = math.exp(math.log(low) * (1 - share) + math.log(high) * share)
            return min(max(between, low), high)
        return low + (high - low) * share

    @property
    def some(self) -> tuple[int | float, ...]:
        """Three of its numbers: from within, since both ends of a range are often special."""
        shares = (0.0, 0.5, 1.0) if self.whole else (0.25, 0.5, 0.75)
        found = (self.between(share) for share in shares)
        return tuple(dict.fromkeys(round(each) if self.whole else each for each in found))

    @property
    def middle(self) -> int | float:
        """What stands for all its numbers where they are not told apart."""
        return int(self.low) if self.whole else self.between(0.5)


@dataclass(frozen=True)
class Fields:
    """A part, or a whole memory, with something to choose inside; `label` is its choice's name."""

    label: str
    entries: Mapping[str, "Node"]

    @cached_property
    def in_order(self) -> tuple[tuple[str, "Node"], ...]:
        """The fields as they are filled: parts inside come last.

        Whether a gate fits depends on the axis along which it acts, and not the other way round.
        """
        return tuple(sorted(self.entries.items(), key=lambda entry: _is_part(entry[1])))

    @cached_property
    def open(self) -> tuple[tuple[str, "Node"], ...]:
        """Of the fields in their order those in which there is something to choose."""
        return tuple((name, entry) for name, entry in self.in_order if not closed(entry))


@dataclass(frozen=True)
class Choice:
    """One of several; by name, in alphabetical order."""

    options: Mapping[str, "Node"]
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """How much likelier chance takes an option than another; empty: all alike."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its options."""
        return tuple(self.options)


@dataclass(frozen=True)
class Items:
    """A list with something to choose inside: cells of a composition, layers of a pattern."""

    label: str
    entries: Sequence["Node"]


@dataclass(frozen=True)
class Mutation:
    """A known memory of which from `low` to `high` places are changed; see `mutation`."""

    label: str
    base: Any  # the memory, or composition, as it is known
    places: Mapping[str, "Node"]  # what else may stand there, by path
    low: int
    high: int


Node = Fixed | Number | Fields | Choice | Items | Mutation


def closed(node: Node) -> bool:
    """Whether there is nothing to choose in it."""
    match node:
        case Fixed():
            return True
        case Fields():
            return not node.open
        case _:
            return False


def size(node: Node) -> int:
    """Ways to fill the holes below a node; a real number counts as one."""
    match node:
        case Fixed():
            return 1
        case Number(low, high, whole=whole):
            return int(high - low) + 1 if whole else 1
        case Fields(_, entries):
            return math.prod(size(entry) for entry in entries.values())
        case Items(_, entries):
            return math.prod(size(entry) for entry in entries)
        case Choice(options):
            return sum(size(option) for option in options.values())
        case Mutation(places=places, low=low, high=high):
            return sum(ways({name: size(each) for name, each in places.items()}, high)[low:])


def fingerprint(node: Node) -> str:
    """16 hexadecimal digits that stay while names, options, ranges and all that is fixed do.

    Weights are left out: they change what is likely, not what a choice means.
    """
    text = json.dumps(_shape(node), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shape(node: Node) -> Any:
    match node:
        case Fixed(value):
            return value
        case Number(low, high, log, whole):
            return ["number", low, high, log, whole]
        case Fields(label, entries):
            return ["fields", label, {name: _shape(each) for name, each in entries.items()}]
        case Choice(options):
            return ["choice", {name: _shape(each) for name, each in options.items()}]
        case Items(label, items):
            return ["items", label, [_shape(each) for each in items]]
        case Mutation(base=base, places=places, low=low, high=high):
            inner_shapes = {name: _shape(each) for name, each in places.items()}
            return ["mutation", base.model_dump(mode="json"), inner_shapes, low, high]


def ways(places: Mapping[str, int], most: int) -> list[int]:
    """In how many ways 0, 1, ... `most` of some places can be changed, from those of each place.

    A place that is changed as a whole has nothing left to change inside.
    """

    def inside(place: str, those: Sequence[str]) -> list[int]:
        found = [1] + [0] * most
        while those:
            first, *those = those
            below = [each for each in those if lies_in(each, first)]
            those = those[len(below) :]
            more = inside(first, below)
            found = [sum(found[a] * more[n - a] for a in range(n + 1)) for n in range(most + 1)]
        found[1:2] = [found[1] + places[place]] if place and most else found[1:2]
        return found

    # Sorted by their parts, a place is followed by those inside of it.
    return inside("", sorted(places, key=lambda place: place.split(".")))


def lies_in(place: str, other: str) -> bool:
    """Whether a place is another one or inside of it."""
    return place == other or place.startswith(other + ".")


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    match node:
        case Fields(_, inner) | Choice(inner) | Mutation(places=inner):
            for each in inner.values():
                yield from walk(each)
        case Items(_, items):
            for each in items:
                yield from walk(each)
        case _:
            pass


def _is_part(node: Node) -> bool:
    match node:
        case Fixed(value):
            return isinstance(value, Mapping)
        case Choice(options):
            return any(_is_part(option) for option in options.values())
        case _:
            return isinstance(node, Fields | Items | Mutation)


def label_of(node: Node) -> str:
    """The name of a part that stands where there is nothing else to choose."""
    return node.label if isinstance(node, Fields) else ""


def joined(name: str, field: str | int) -> str:
    """The name of what stands in a field, or at a place of a list."""
    return f"{name}.{field}" if name else str(field)


def component(label: str) -> str:
    """A label inside a name: points separate slot, kind and field, those of numbers must not."""
    return label.replace(".", "_")


def inner(name: str, label: str) -> str:
    """Where the holes of an option are, from the name of the choice."""
    return f"{name}.{component(label)}" if label else name


def shortened(name: str) -> str:
    """A name as it is recorded."""
    if len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME - 9] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
