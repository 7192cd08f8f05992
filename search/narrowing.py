"""Which options still fit what has been chosen: the rules of the grammar, asked beforehand.

Every rule that refuses, and every check that a part makes of its own settings, is tried on the
unfinished memory. It either has an answer, which no later choice can change, or it waits for the
hole at which it stopped. An option is out if a rule that waits objects to it whatever else is
chosen of the holes that this rule asks for. Of a range three numbers stand for all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from miras.memory import Memory
from miras.part import Part, SpecError
from miras.rules import RULES, Verdict

from .nodes import Choice, Node, Value
from .opening import parts_of, type_of
from .sketch import Sketch, Undecided

AHEAD = 50
"""Questions asked of one rule about what else might be chosen, before it is given a chance."""

Way = dict[str, Value | None]
"""What fills the holes that a check asked for; nothing for one that it was not answered."""


class Check(NamedTuple):
    """A condition on a whole memory: a sentence, or nothing if there is no objection."""

    name: str
    ask: Callable[[Memory], str]


def checks() -> Iterator[Check]:
    """Conditions on settings of one part, then the rules that refuse, in their order."""
    for slot in _fields_with_checks(Memory):
        yield Check(f"settings of {slot}", _settings(slot))
    yield from (Check(rule.name, rule.check) for rule in RULES if rule.verdict is Verdict.refuse)


def _settings(slot: str) -> Callable[[Memory], str]:
    def ask(memory: Memory) -> str:
        return _inside(memory, slot)

    return ask


def _objection(part: Part) -> str:
    """What a part has to say against its own settings, or those of parts inside it."""
    open_one: Undecided | None = None
    asked = [partial(check, part) for check in _own_checks(type(part))]
    asked += [partial(_inside, part, field) for field in _fields_with_checks(type(part))]
    for ask in asked:
        try:
            answer = ask()
        except SpecError as error:
            return str(error)
        except Undecided as found:
            open_one = open_one or found
        else:
            if answer and isinstance(answer, str):
                return answer
    if open_one is not None:
        raise open_one
    return ""


def _inside(part: Part, field: str) -> str:
    value = getattr(part, field)
    return _objection(value) if isinstance(value, Part) else ""


@cache
def _own_checks(part: type[Part]) -> tuple[Callable[[Part], object], ...]:
    """What a part asks of itself when all its fields are there."""
    decorators = part.__pydantic_decorators__.model_validators.values()
    return tuple(found.func for found in decorators if found.info.mode == "after")


@cache
def _fields_with_checks(part: type[Part]) -> tuple[str, ...]:
    """Fields of a part whose parts may object to themselves."""
    return tuple(
        name
        for name, field in part.model_fields.items()
        for kinds in [parts_of(type_of(field)).values()]
        if any(_own_checks(kind) or _fields_with_checks(kind) for kind in kinds)
    )


class Narrowing:
    """The decisions on a memory, and the checks that have no answer yet, by the hole they need."""

    def __init__(self, root: Node) -> None:
        self.sketch = Sketch(root)
        self.waiting: dict[str, list[Check]] = {}
        self.ways: dict[str, Way] = {}  # by check: a way that is open to it
        self.refused = self._ask(checks())

    def _ask(self, asked: Iterable[Check]) -> str:
        """Name of the first check that objects; those without an answer are kept waiting."""
        refused = ""
        for check in asked:
            try:
                sentence = check.ask(self.sketch.memory())
            except Undecided as found:
                self.waiting.setdefault(found.name, []).append(check)
            else:
                refused = refused or (check.name if sentence else "")
        return refused

    def decide(self, name: str, value: Value) -> str:
        """Fill a hole; the name of a check that objects, or nothing."""
        self.sketch.decisions[name] = value
        self.ways = {check: way for check, way in self.ways.items() if _agrees(way, name, value)}
        if asked := self.waiting.pop(name, []):
            self.refused = self.refused or self._ask(asked)
        return self.refused

    def fitting(self, name: str, options: Sequence[str]) -> tuple[str, ...]:
        """The options to which nothing objects; all of them if something objects to each."""
        if not self.waiting or self.refused:
            return tuple(options)
        found = tuple(option for option in options if not self.objection(name, option))
        return found or tuple(options)

    def objection(self, name: str, value: Value) -> str:
        """The name of a check that objects to an option, whatever else is chosen."""
        for waiting in self.waiting.values():
            for check in waiting:
                known = self.ways.get(check.name) or self._way(check, [AHEAD])
                if known is not None and _agrees(known, name, value):
                    self.ways[check.name] = known
                    continue
                with self.sketch.trying(name, value):
                    way = self._way(check, [AHEAD])
                if way is None:
                    return check.name
                self.ways[check.name] = {name: value} | way
        return ""

    def _way(self, check: Check, left: list[int]) -> Way | None:
        """What to choose so that a check does not object; none if there is nothing.

        It looks ahead for as many questions as are `left`; if that is not enough, there is hope.
        """
        left[0] -= 1
        try:
            return None if check.ask(self.sketch.memory()) else {}
        except Undecided as found:
            hole, name = found.hole, found.name
        if left[0] <= 0:
            return {name: None}
        for value in hole.options if isinstance(hole, Choice) else hole.some:
            with self.sketch.trying(name, value):
                way = self._way(check, left)
            if way is not None:
                # Another number may fit or not; which options do was asked before.
                return {name: value if isinstance(hole, Choice) else None} | way
        return None


def _agrees(way: Way, name: str, value: Value) -> bool:
    """Whether a way stays open: it does not need the hole, or needs it filled like this."""
    return name not in way or way[name] == value
