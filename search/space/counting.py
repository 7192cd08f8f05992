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
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from .answers import Waits, answers_of
from .narrowing import Narrowing, checks
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
    label_of,
    shortened,
    size,
)
from .sketch import Check

BRANCHES = 20_000
"""Looked at before the rest is estimated, those of small regions not counted."""

SMALL = 200_000
"""Structures of a region that is divided to its end."""

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
        self.answers = answers_of(root)
        self.sizes: dict[int, int] = {}
        self.regions: list[Region] = []
        self.refused: Counter[str] = Counter()
        self.sentences: dict[str, str] = {}
        self.branches = 0

    def size(self, node: Node) -> int:
        if id(node) not in self.sizes:
            self.sizes[id(node)] = size(node)
        return self.sizes[id(node)]

    def divide(self, branch: _Branch) -> list[_Branch]:
        """The branches of a branch; none if it is decided, which is noted."""
        self.branches += 1
        still = list(branch.waiting)
        for check in branch.asked:
            answer = self.answers.ask(check, branch.decisions)
            if isinstance(answer, Waits):
                still.append(_Waiting(check, *answer))
            elif answer:
                self.refused[check.name] += branch.structures
                self.sentences.setdefault(check.name, answer)
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

    def finish(self, branch: _Branch) -> None:
        """Divide a branch to its end."""
        for each in self.divide(branch):
            self.finish(each)

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
    whole = open_ = size(root)
    # Ties go to the older branch: what is found is the same in every process.
    heap, number, divided = [(-whole, 0, _Branch({}, whole, checks(), ()))], 1, 0
    while heap and (divided < most or -heap[0][0] <= SMALL):
        _, _, branch = heapq.heappop(heap)
        if branch.structures <= SMALL:
            divider.finish(branch)
            found: list[_Branch] = []
        else:
            found = divider.divide(branch)
            divided += 1
        for each in found:
            heapq.heappush(heap, (-each.structures, number, each))
            number += 1
        open_ -= 0 if found else branch.structures
        tick(max(divided / most, 1 - open_ / whole))
    return Division(
        regions=tuple(divider.regions),
        refused=dict(divider.refused.most_common()),
        sentences=divider.sentences,
        open=tuple(Region(branch.decisions, branch.structures) for _, _, branch in heap),
        branches=divider.branches,
    )


def anywhere(root: Node, dice: random.Random, region: Region | None = None) -> dict[str, Value]:
    """The choices of one structure of a region, or of all, each as likely as any other."""
    decisions = region.decisions if region else {}
    return _Descent(root, dice, decisions, None).choices


def likely(root: Node, dice: random.Random) -> tuple[dict[str, Value], float]:
    """Choices of which none is known to be refused, and how much too often they come.

    Options are as likely as the structures inside of them, those that do not fit are left out. The
    number is the share of structures that were not left out, choice by choice: its mean over many
    descents, counted as 0 where the memory is refused in the end, is the share of structures that
    are well typed. Knuth estimates the sizes of trees like that (Knuth 1975).
    """
    found = _Descent(root, dice, {}, Narrowing(root))
    return found.choices, found.weight


class _Descent:
    """One way down a space."""

    def __init__(
        self,
        root: Node,
        dice: random.Random,
        decisions: Mapping[str, Value],
        narrowing: Narrowing | None,
    ) -> None:
        self.dice, self.decisions, self.narrowing = dice, decisions, narrowing
        self.choices: dict[str, Value] = {}
        self.weight = 1.0
        self.fill(root, "memory" if isinstance(root, Choice) else "", "")

    def fill(self, node: Node, name: str, label: str) -> None:
        match node:
            case Fixed():
                return
            case Number(low, high, whole=whole):
                drawn = self.dice.randint(int(low), int(high)) if whole else node.middle
                self.keep(inner(name, label), drawn)
            case Choice(options):
                picked = str(self.keep(name, self.pick(shortened(name), options)))
                self.fill(options[picked], name, picked)
            case Fields():
                inside = inner(name, label)
                for field, entry in node.in_order:
                    self.fill(entry, f"{inside}.{field}" if inside else field, label_of(entry))
            case Items() | Mutation():
                raise TypeError("inside a memory there are no cells: `descent` counts those")

    def pick(self, name: str, options: Mapping[str, Node]) -> str:
        fitting = tuple(options)
        if self.narrowing:
            fitting = self.narrowing.fitting(name, fitting)
        sums = list(accumulate(size(options[option]) for option in fitting))
        self.weight *= sums[-1] / sum(size(option) for option in options.values())
        # The numbers are too large for floats.
        return fitting[bisect_right(sums, self.dice.randrange(sums[-1]))]

    def keep(self, name: str, value: Value) -> Value:
        name = shortened(name)
        value = self.choices[name] = self.decisions.get(name, value)
        if self.narrowing:
            self.narrowing.decide(name, value)
        return value


def within(
    root: Node, regions: Sequence[Region], dice: random.Random
) -> Iterator[dict[str, Value]]:
    """Choices of structures of some regions without end, each as likely as any other."""
    sums = list(accumulate(region.structures for region in regions))
    while sums:
        yield anywhere(root, dice, regions[bisect_right(sums, dice.randrange(sums[-1]))])
