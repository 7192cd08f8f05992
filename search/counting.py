"""How many memories a space holds, without building them one by one.

A *structure* is one way to fill the holes: kinds, options and whole numbers count each, a real
number counts as one and stands at the middle of its range (in its logarithm, if it is drawn so).
Structures that are equal as memories, such as a decay of 1 and no decay, are still two.

Exact: a rule of the grammar looks at a few holes only. Those are tried out, in the order in which
rules ask for them; where no rule waits any more, all ways to fill the other holes are counted as a
product, and where one objects they are refused as a product. That is how models of a logical
formula are counted. If the branches are too many, the largest are divided first and a sample is
drawn from those that are left: a bound from below and above, and an estimate between the two.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from .narrowing import Check, checks
from .nodes import Choice, Fields, Fixed, Node, Number, Value, inner, label_of, shortened, size
from .sketch import Sketch, Undecided

BRANCHES = 1_000_000
"""Of an exact count. A second holds some 30,000."""

Tick = Callable[[float], None]
"""Told how much of the work is done, between 0 and 1."""


class Region(NamedTuple):
    """All structures that fill some holes in one way."""

    decisions: dict[str, Value]
    structures: int


class Division(NamedTuple):
    """All structures of a space: those that are memories, those that are not, those left open."""

    regions: tuple[Region, ...]
    refused: dict[str, int]  # by the first rule that was found to object
    sentences: dict[str, str]  # one that the rule said
    open: tuple[Region, ...]  # rules still wait there
    branches: int

    @property
    def well_typed(self) -> int:
        """Structures to which no rule objects, whatever is in the open regions."""
        return sum(region.structures for region in self.regions)

    @property
    def left(self) -> int:
        """Structures in the open regions."""
        return sum(region.structures for region in self.open)


class Share(NamedTuple):
    """A share that was estimated from a sample, with the limits of its 95 % interval."""

    found: int
    of: int

    @property
    def value(self) -> float:
        """The share in the sample."""
        return self.found / self.of if self.of else math.nan

    @property
    def limits(self) -> tuple[float, float]:
        """Wilson's interval for a binomial share (Wilson 1927); it is right near 0 and 1 too."""
        if not self.of:
            return 0.0, 1.0
        z2 = 1.959964**2 / self.of
        middle = (self.value + z2 / 2) / (1 + z2)
        half = math.sqrt(z2 * self.value * (1 - self.value) + z2**2 / 4) / (1 + z2)
        return max(0.0, middle - half), min(1.0, middle + half)


class _Waiting(NamedTuple):
    check: Check
    name: str
    hole: Choice | Number


class _Branch(NamedTuple):
    """Structures that share some decisions, and the rules that have no answer for them yet."""

    decisions: dict[str, Value]
    structures: int
    asked: tuple[Check, ...]  # they may have one now
    waiting: tuple[_Waiting, ...]


class _Divider:
    """One division of a space."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.sizes: dict[int, int] = {}
        self.regions: list[Region] = []
        self.refused: Counter[str] = Counter()
        self.sentences: dict[str, str] = {}

    def size(self, node: Node) -> int:
        if id(node) not in self.sizes:
            self.sizes[id(node)] = size(node)
        return self.sizes[id(node)]

    def divide(self, branch: _Branch) -> list[_Branch]:
        """The branches of a branch; none if it is decided, which is noted."""
        sketch = Sketch(self.root)
        sketch.decisions.update(branch.decisions)
        still = list(branch.waiting)
        for check in branch.asked:
            try:
                sentence = check.ask(sketch.memory())
            except Undecided as found:
                still.append(_Waiting(check, found.name, found.hole))
            else:
                if sentence:
                    self.refused[check.name] += branch.structures
                    self.sentences.setdefault(check.name, sentence)
                    return []
        if not still:
            self.regions.append(Region(branch.decisions, branch.structures))
            return []
        # The hole for which most rules wait decides most.
        name = Counter(each.name for each in still).most_common(1)[0][0]
        asked = tuple(each.check for each in still if each.name == name)
        waiting = tuple(each for each in still if each.name != name)
        hole = next(each.hole for each in still if each.name == name)
        outside = branch.structures // self.size(hole)
        return [
            _Branch(branch.decisions | {name: value}, outside * inside, asked, waiting)
            for value, inside in self.values(hole)
        ]

    def values(self, hole: Choice | Number) -> Iterator[tuple[Value, int]]:
        """What may fill a hole, and the structures inside of that."""
        if isinstance(hole, Choice):
            yield from ((label, self.size(option)) for label, option in hole.options.items())
        elif hole.whole:
            yield from ((number, 1) for number in range(int(hole.low), int(hole.high) + 1))
        else:
            yield hole.middle, 1


def divide(root: Node, most: int = BRANCHES, tick: Tick = lambda _: None) -> Division:
    """Divide a space, the largest open region first, until it is done or has `most` branches."""
    divider = _Divider(root)
    whole = size(root)
    first = _Branch({}, whole, tuple(checks()), ())
    # Ties go to the older branch: what is found is the same in every process.
    heap, number, branches, open_ = [(-whole, 0, first)], 1, 0, whole
    while heap and branches < most:
        _, _, branch = heapq.heappop(heap)
        found = divider.divide(branch)
        for each in found:
            heapq.heappush(heap, (-each.structures, number, each))
            number += 1
        open_ -= 0 if found else branch.structures
        branches += 1
        if branches % 256 == 0:
            tick(max(branches / most, 1 - open_ / whole))
    return Division(
        regions=tuple(divider.regions),
        refused=dict(divider.refused.most_common()),
        sentences=divider.sentences,
        open=tuple(Region(branch.decisions, branch.structures) for _, _, branch in heap),
        branches=branches,
    )


def anywhere(root: Node, dice: random.Random, region: Region | None = None) -> dict[str, Value]:
    """The choices of one structure of a region, or of all, each as likely as any other."""
    decisions = dict(region.decisions) if region else {}
    sizes: dict[int, int] = {}

    def weigh(node: Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = size(node)
        return sizes[id(node)]

    chosen: dict[str, Value] = {}

    def fill(node: Node, name: str, label: str) -> None:
        match node:
            case Fixed():
                return
            case Number(low, high, whole=whole):
                name = shortened(inner(name, label))
                drawn = dice.randint(int(low), int(high)) if whole else node.middle
                chosen[name] = decisions.get(name, drawn)
            case Choice(options):
                labels = list(options)
                drawn = labels[_weighted([weigh(option) for option in options.values()], dice)]
                picked = str(decisions.get(shortened(name), drawn))
                chosen[shortened(name)] = picked
                fill(options[picked], name, picked)
            case Fields(_, entries):
                inside = inner(name, label)
                for field, entry in entries.items():
                    fill(entry, f"{inside}.{field}" if inside else field, label_of(entry))

    fill(root, "memory" if isinstance(root, Choice) else "", "")
    return chosen


def within(
    root: Node, regions: Sequence[Region], dice: random.Random
) -> Iterator[dict[str, Value]]:
    """Choices of well-typed structures without end, each as likely as any other."""
    sums = list(accumulate(region.structures for region in regions))
    while sums:
        yield anywhere(root, dice, regions[bisect_right(sums, dice.randrange(sums[-1]))])


def _weighted(weights: Sequence[int], dice: random.Random) -> int:
    # The numbers are too large for floats.
    sums = list(accumulate(weights))
    return bisect_right(sums, dice.randrange(sums[-1]))
