"""Asks a chooser for everything there is to choose, with what fits, and keeps the answers."""

from dataclasses import dataclass
from typing import NamedTuple

from miras.memory import SLOTS
from miras.part import SpecError

from .choosers import Chooser, Fitting, Weighing
from .mutation import holed, next_places
from .narrowing import Narrowing
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
    joined,
    label_of,
    shortened,
)

LEARNING_RATE = "learning_rate"

MEMORY = "memory"
"""What the choice among whole memories is called."""

CELLS = ("of", "pattern")
"""Fields in which memories stand: of a composition, and of a stack of layers."""

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
        self.changed: dict[str, Node] = {}  # known memories, with holes where they are changed
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
        options = node.names
        narrowing, own = self._scope(name) if self.scopes else (None, "")
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
        found = self.changed[name] = self._change(node, name)
        return found

    def _change(self, node: Mutation, name: str) -> Node:
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


class _Rest(NamedTuple):
    """What is still to be asked, when the memories and their slots are chosen."""

    node: Node
    name: str
    label: str


def ask(root: Node, asked: Asked, rates: Number | None = None) -> None:
    """Ask for the memories of a tree and their slots, the learning rate if there is one, the rest.

    So whatever the rest is, a sampler can model those together.
    """
    rest = _ask_cell(root, "", asked)
    if rates:
        asked.number(LEARNING_RATE, rates)
    for each in rest:
        _ask(*each, asked)


def _ask_cell(node: Node, name: str, asked: Asked) -> list[_Rest]:
    """Ask which memories stand somewhere, and for their slots; what is left to ask, in order."""
    if isinstance(node, Items):
        cells = [_ask_cell(each, joined(name, i), asked) for i, each in enumerate(node.entries)]
        return [each for cell in cells for each in cell]
    asked.enter(node, name)
    if isinstance(node, Choice):
        at = name or MEMORY
        label = asked.pick(at, node)
        return _ask_cell(node.options[label], inner(at, label), asked)
    if isinstance(node, Mutation):
        return _ask_cell(asked.change(node, name), name, asked)
    if not isinstance(node, Fields):
        return [_Rest(node, name, "")]
    slots: dict[str, _Rest] = {}
    for field in ("compose",) if "compose" in node.entries else SLOTS:
        if field in node.entries:
            slots[field] = _picked(node.entries[field], joined(name, field), asked)
    cells = {
        field: _ask_cell(node.entries[field], joined(name, field), asked)
        for field in CELLS
        if field in node.entries
    }
    rest: list[_Rest] = []
    for field, entry in node.entries.items():
        if field in cells:
            rest += cells[field]
        else:
            own = slots.get(field) or _Rest(entry, joined(name, field), label_of(entry))
            rest.append(own)
    return rest


def _picked(node: Node, name: str, asked: Asked) -> _Rest:
    """The option that is chosen; a node without options is itself."""
    if not isinstance(node, Choice):
        return _Rest(node, name, label_of(node))
    label = asked.pick(name, node)
    return _Rest(node.options[label], name, label)


def _ask(node: Node, name: str, label: str, asked: Asked) -> None:
    """Ask for everything in a node whose own option is already chosen."""
    match node:
        case Fields():
            inside = inner(name, label)
            for field, entry in node.open:
                _ask(entry, f"{inside}.{field}", label_of(entry), asked)
        case Choice(options):
            label = asked.pick(name, node)
            _ask(options[label], name, label, asked)
        case Number():
            asked.number(inner(name, label), node)
        case Fixed():
            pass
        case Items() | Mutation():
            for each in _ask_cell(node, inner(name, label), asked):
                _ask(*each, asked)


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
