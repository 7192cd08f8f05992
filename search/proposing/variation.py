"""Changes to a derivation: what stays valid stays as it was, the rest is drawn among what fits."""

import math
from collections.abc import Set
from functools import lru_cache

import numpy as np

from ..space.choosers import Fitting, FromRandom
from ..space.nodes import Number, Value
from .ground import Choices, Ground

SLOT, REGROW = 0.15, 0.05
"""Shares of changes that are to a slot, and to all that stands below a choice; else to any hole."""

SPREAD = 0.15
"""Standard deviation of a jitter, as a share of the range."""

NEAR = 0.7
"""Share of changed numbers that stay near; the others are drawn anew."""

STAYS_NEAR = 5
"""Numbers near the old one that may not fit before any number will do."""


class Varied:
    """Repeats choices, but makes some differently and draws what stands below others anew."""

    def __init__(
        self,
        source: Choices,
        generator: np.random.Generator,
        changed: Set[str] = frozenset(),
        regrown: Set[str] = frozenset(),
    ) -> None:
        self.source, self.changed, self.regrown = source, changed, regrown
        self.generator, self.chance = generator, FromRandom(generator)
        self.asked: dict[str, int] = {}

    def _old(self, name: str) -> Value | None:
        """What was chosen before, if it may be repeated."""
        anew = self.regrown and any(place in self.regrown for place in _above(name))
        return None if anew else self.source.get(name)

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        old, changed = self._old(name), name in self.changed
        if isinstance(old, str) and not changed and old in fitting:
            return old
        return fitting.draw(self.generator, without=old if changed else None)

    def number(self, name: str, among: Number) -> int | float:
        """Asked once more for a number that did not fit, it goes on looking, at first near it."""
        asked = self.asked[name] = self.asked.get(name, 0) + 1
        old = self._old(name)
        if not isinstance(old, int | float) or not among.low <= old <= among.high:
            return self.chance.number(name, among)
        if asked == 1 and name not in self.changed:
            return old
        if asked > STAYS_NEAR or self.generator.random() >= NEAR:
            return self.chance.number(name, among)
        return jitter(old, among, self.generator)


def jitter(value: float, among: Number, generator: np.random.Generator) -> int | float:
    """A number near another one, in the logarithm of a range that has one; whole ones by 1."""
    if among.whole:
        beside = [each for each in (value - 1, value + 1) if among.low <= each <= among.high]
        return int(beside[generator.integers(len(beside))])
    low, high, old = among.low, among.high, float(value)
    if among.log:
        low, high, old = math.log(low), math.log(high), math.log(old)
    share = (old - low) / (high - low) + SPREAD * generator.standard_normal()
    return min(max(among.between(min(max(share, 0.0), 1.0)), among.low), among.high)


def heads(choices: Choices) -> list[str]:
    """Choices among names that stand inside of no other choice: the slots, as a rule."""
    return [
        name
        for name, value in choices.items()
        if isinstance(value, str) and not any(place in choices for place in _above(name))
    ]


def _tall(choices: Choices) -> list[str]:
    """Choices below which something else is chosen."""
    return [
        name
        for name in dict.fromkeys(above for each in choices for above in _above(each))
        if name in choices
    ]


@lru_cache(maxsize=100_000)
def _above(name: str) -> tuple[str, ...]:
    """Names of all that a choice may stand inside of, from the outside."""
    return tuple(name[:end] for end, letter in enumerate(name) if letter == ".")


def varied(
    ground: Ground,
    source: Choices,
    changes: int,
    generator: np.random.Generator,
    narrow: bool = True,
) -> Choices:
    """A derivation with changes: of a slot, of all that stands below a choice, or of any hole.

    Without `narrow` nobody asks whether what was chosen fits together.
    """
    changed: set[str] = set()
    regrown: set[str] = set()
    names = list(source)
    for _ in range(changes):
        way = generator.random()
        if way < SLOT and (slots := heads(source)):
            changed.add(slots[generator.integers(len(slots))])
        elif way < SLOT + REGROW and (tall := _tall(source)):
            regrown.add(tall[generator.integers(len(tall))])
        elif names:
            changed.add(names[generator.integers(len(names))])
    return ground.derive(Varied(source, generator, changed, regrown), narrow)


def repeated(ground: Ground, source: Choices, generator: np.random.Generator) -> Choices:
    """A derivation once more; what does not fit in it is drawn among what does."""
    return ground.derive(Varied(source, generator), True)


def mixed(one: Choices, other: Choices, generator: np.random.Generator) -> Choices:
    """Two derivations mixed: each slot with all that stands below it is from one of them."""
    slots = set(heads(one)) | set(heads(other))

    def slot(name: str) -> str:
        return next((place for place in _above(name) if place in slots), name)

    places = list(dict.fromkeys(map(slot, (*one, *other))))
    own = {place for place in places if generator.random() < 0.5}
    found = {name: value for name, value in other.items() if slot(name) not in own}
    return found | {name: value for name, value in one.items() if slot(name) in own}
