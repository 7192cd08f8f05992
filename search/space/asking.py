"""Asks a chooser for everything there is to choose, with what fits, and keeps the answers."""

from dataclasses import dataclass

from miras.part import SpecError

from .choosers import Chooser, Fitting, Weighing
from .mutation import holed, next_places
from .narrowing import Narrowing
from .nodes import (
    Choice,
    Fields,
    Fixed,
    Mutation,
    Node,
    Number,
    Value,
    joined,
    shortened,
)

LEARNING_RATE = "learning_rate"

NUMBERS = 20
"""Numbers that are drawn until one fits what was chosen before."""


@dataclass(frozen=True)
class _Scope:
    """A memory somewhere in a space, and what fits into it, by its own names of holes."""

    at: str
    several: bool  # which memory it is, is chosen
    narrowing: Narrowing

    def own(self, name: str) -> str | None:
        """The name of a hole as this memory has it, if it is one of its holes."""
        if not self.at:
            return name
        if name != self.at and not name.startswith(self.at + "."):
            return None
        rest = name[len(self.at) :]
        return "memory" + rest if self.several else rest[1:]


class Asked:
    """Passes questions on with what fits, and keeps the answers."""

    def __init__(self, chooser: Chooser, narrow: bool) -> None:
        self.chooser, self.narrow = chooser, narrow
        self.choices: dict[str, Value] = {}
        self.scopes: list[_Scope] = []

    def enter(self, node: Node, name: str) -> None:
        """From now on, choices of the memory that stands under a name are to fit each other."""
        if self.narrow and is_memory(node) and not self._scope(name)[0]:
            self.scopes.append(_Scope(name, isinstance(node, Choice), Narrowing(node)))

    def _scope(self, name: str) -> tuple[Narrowing | None, str]:
        """What fits at a hole, and the name that the hole has there."""
        if name != LEARNING_RATE:
            for scope in self.scopes:
                if (own := scope.own(name)) is not None:
                    return scope.narrowing, shortened(own)
        return None, ""

    def pick(self, name: str, node: Choice) -> str:
        """Which option is taken."""
        options = tuple(node.options)
        narrowing, own = self._scope(name)
        fitting = Fitting(options, narrowing, own)
        name = shortened(name)
        if node.weights and isinstance(self.chooser, Weighing):
            picked = self.chooser.weigh(name, options, fitting, node.weights)
        else:
            picked = self.chooser.pick(name, options, fitting)
        self.choices[name] = picked
        if narrowing:
            narrowing.decide(own, picked)
        return picked

    def number(self, name: str, among: Number) -> int | float:
        """Which number is taken."""
        narrowing, own = self._scope(name)
        name = shortened(name)
        value = self.chooser.number(name, among)
        if narrowing and not narrowing.refused:
            for _ in range(NUMBERS):
                if not narrowing.objection(own, value):
                    break
                value = self.chooser.number(name, among)
        self.choices[name] = value
        if narrowing:
            narrowing.decide(own, value)
        return value

    def change(self, node: Mutation, name: str) -> Node:
        """The known memory with holes in the places that are chosen to be changed."""
        count, chosen = node.low, list[str]()
        if node.low < node.high:
            among = Number(node.low, node.high, whole=True)
            count = int(self.number(joined(name, "changes"), among))
        places = tuple(node.places)
        for number in range(1, count + 1):
            open_ways = dict(next_places(places, tuple(chosen), count + 1 - number))
            at = shortened(joined(name, f"change.{number}"))
            picked = next(iter(open_ways))
            if len(places) > 1:
                fitting = Fitting(tuple(open_ways))
                weights = _shares(node, open_ways)
                if isinstance(self.chooser, Weighing):
                    picked = self.chooser.weigh(at, places, fitting, weights)
                else:
                    picked = self.chooser.pick(at, places, fitting)
                self.choices[at] = picked
            if picked not in open_ways:
                raise SpecError(
                    f"the record has {picked!r} for {at}, which cannot be changed beside"
                    f" {', '.join(chosen) or 'the others'}: use the space with which it was made"
                )
            chosen.append(picked)
        return holed(node, tuple(chosen))


def _shares(node: Mutation, open_ways: dict[str, int]) -> dict[str, float]:
    """Sets of places are as likely as each other, whatever there is to choose in them."""
    whole = sum(open_ways.values())
    return {place: count / whole for place, count in open_ways.items()}


def is_memory(node: Node) -> bool:
    """Whether it is one memory, or one of several: then its rules say what fits."""
    match node:
        case Choice(options):
            return all(is_memory(option) for option in options.values())
        case Fields(_, entries):
            return "compose" not in entries and "pattern" not in entries
        case Fixed(value):
            return isinstance(value, dict) and "compose" not in value
        case _:
            return False
