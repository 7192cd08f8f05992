"""What the rules say of unfinished memories; what was asked before is remembered.

A check looks at one hole after the other, and at which one next follows from what was in those
before. So its answers are a tree: each node is a hole, each branch is what may fill it, or that it
is open. It grows where somebody asks, and is the same for all memories of a space.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .nodes import Choice, Node, Number, Value
from .sketch import Check, Sketch, Undecided

MOST = 500_000
"""Answers that are remembered before all are forgotten."""

SPACES = 64
"""Memories with holes of which answers are remembered; a space may hold many."""


class Waits(NamedTuple):
    """A check has no answer before this hole is filled."""

    name: str
    hole: Choice | Number


@dataclass
class _Look:
    """A check looks at a hole and goes on by what is in it."""

    name: str
    then: dict[Value | None, "_Look | Waits | str"] = field(
        default_factory=dict["Value | None", "_Look | Waits | str"]
    )


class Answers:
    """The answers of all checks to all that was asked about one space."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.trees: dict[Check, _Look | Waits | str] = {}
        self.count = 0

    def ask(self, check: Check, decisions: Mapping[str, Value]) -> Waits | str:
        """The sentence of a check that objects, "" if it does not, or what it waits for."""
        node = self.trees.get(check)
        while isinstance(node, _Look):
            node = node.then.get(decisions.get(node.name))
        return self._evaluate(check, decisions) if node is None else node

    def _evaluate(self, check: Check, decisions: Mapping[str, Value]) -> Waits | str:
        sketch = Sketch(self.root, decisions)
        try:
            answer: Waits | str = check.ask(sketch.memory())
        except Undecided as found:
            answer = Waits(found.name, found.hole)
        if self.count >= MOST:
            self.trees, self.count = {}, 0
        self.count += 1
        looks = list(sketch.looked.items())
        if not looks:
            self.trees[check] = answer
            return answer
        node = self.trees.setdefault(check, _Look(looks[0][0]))
        for number, (_, value) in enumerate(looks, 1):
            assert isinstance(node, _Look)
            last = number == len(looks)
            node = node.then.setdefault(value, answer if last else _Look(looks[number][0]))
        return answer


_KNOWN: dict[int, Answers] = {}


def answers_of(root: Node) -> Answers:
    """The answers about a space, kept for a few spaces; an answer is the same whenever asked."""
    found = _KNOWN.pop(id(root), None)
    if found is None or found.root is not root:
        while len(_KNOWN) >= SPACES:
            del _KNOWN[next(iter(_KNOWN))]
        found = Answers(root)
    _KNOWN[id(root)] = found  # as the last: those that nobody asks about are forgotten first
    return found
