"""One way down a space of compositions, patterns or changes, as likely as what lies below it.

Options are as likely as the structures inside of them, those that do not fit are left out. `weight`
is the share of structures that were not left out, choice by choice: its mean over many descents,
counted as 0 where what was built is refused in the end, is the share of structures that are well
typed (Knuth 1975).
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from .asking import Asked
from .choosers import FromChoices
from .mutation import holed, touches
from .nodes import Choice, Mutation, Node, Number, joined, shortened, size, ways


class Descent(Asked):
    """Chooses by itself."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(FromChoices({}), narrow=True)
        self.dice, self.weight = dice, 1.0

    def pick(self, name: str, node: Choice) -> str:
        options = tuple(node.options)
        narrowing, own = self._scope(name)
        fitting = narrowing.fitting(own, options) if narrowing else options
        sizes = [size(node.options[option]) for option in fitting]
        self.weight *= sum(sizes) / size(node)
        picked = fitting[self._one_of(sizes)]
        self.choices[shortened(name)] = picked
        if narrowing:
            narrowing.decide(own, picked)
        return picked

    def number(self, name: str, among: Number) -> int | float:
        low, high = int(among.low), int(among.high)
        value = self.dice.randint(low, high) if among.whole else among.middle
        narrowing, own = self._scope(name)
        self.choices[shortened(name)] = value
        if narrowing:
            narrowing.decide(own, value)
        return value

    def _change(self, node: Mutation, name: str) -> Node:
        sizes = {place: size(option) for place, option in node.places.items()}
        counted = ways(sizes, node.high)[node.low :]
        count, chosen = node.low + self._one_of(counted), list[str]()
        if node.low < node.high:
            self.choices[shortened(joined(name, "changes"))] = count
        left = dict(sizes)
        for number in range(1, count + 1):
            places, open_ways = list(left), list[int]()
            for index, place in enumerate(places):
                rest = {p: left[p] for p in places[index + 1 :] if not touches(p, (place,))}
                most = count - number
                open_ways.append(left[place] * ways(rest, most)[most])
            index = self._one_of(open_ways)
            chosen.append(places[index])
            left = {p: left[p] for p in places[index + 1 :] if not touches(p, (places[index],))}
            if len(sizes) > 1:
                self.choices[shortened(joined(name, f"change.{number}"))] = chosen[-1]
        return holed(node, tuple(chosen))

    def _one_of(self, sizes: Sequence[int]) -> int:
        sums = list(accumulate(sizes))  # too large for floats
        return bisect_right(sums, self.dice.randrange(sums[-1]))
