"""Which options still fit what has been chosen: the rules of the grammar, asked beforehand.

Every rule that refuses, and every check that a part makes of its own settings, is tried on the
unfinished memory. It either has an answer, which no later choice can change, or it waits for the
hole at which it stopped. An option is out if a rule that waits objects to it whatever else is
chosen of the holes that this rule asks for. Of a range three numbers stand for all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

from miras.memory import Memory
from miras.part import Part, SpecError
from miras.rules import RULES, Verdict

from .answers import Waits, answers_of
from .nodes import Choice, Node, Value
from .opening import parts_of, type_of
from .sketch import Check, gates_of, one_gate

AHEAD = 50
"""Questions asked of one rule about what else might be chosen, before it is given a chance."""

Way = dict[str, Value | None]
"""What fills the holes that a check asked for; nothing for one that it was not answered."""


@cache
def checks() -> tuple[Check, ...]:
    """Conditions on settings of one part, then the rules that refuse, in their order."""
    found: dict[tuple[str, str], Check] = {}
    for slot, field in Memory.model_fields.items():
        for kind in parts_of(type_of(field)).values():
            for own in _own_checks(kind):
                ask = partial(_settings, slot, _name(own))
                check = Check(f"settings of {slot}", _name(own), ask)
                found.setdefault((slot, _name(own)), check)
            for inside in _fields_with_checks(kind):
                ask = partial(_settings_inside, slot, inside)
                check = Check(f"settings of {slot}.{inside}", "", ask)
                found.setdefault((slot, inside), check)
    for rule in RULES:
        if rule.verdict is not Verdict.refuse:
            continue
        # A rule on gates is asked about one after the other: so it waits for no other gate.
        places = _gates() if rule.each_gate else (None,)
        for place in places:
            detail = ".".join(place) if place else ""
            ask = partial(one_gate, *place, rule.check) if place else rule.check
            found[rule.name, detail] = Check(rule.name, detail, ask)
    return tuple(found.values())


def _gates() -> Iterator[tuple[str, str]]:
    """Slots and fields of all gates; no field means all others that a part of that slot uses."""
    for slot, field in Memory.model_fields.items():
        kinds = parts_of(type_of(field)).values()
        for name in dict.fromkeys(name for kind in kinds for name in gates_of(kind)):
            yield slot, name
        if kinds:
            yield slot, ""


def _settings(slot: str, name: str, memory: Memory) -> str:
    """What a part has to say against its own settings."""
    part: Part = getattr(memory, slot)
    own = (check for check in _own_checks(type(part)) if _name(check) == name)
    return _objection(part, own)


def _settings_inside(slot: str, field: str, memory: Memory) -> str:
    """What the parts inside a part have to say against theirs."""
    part: Part = getattr(memory, slot)
    if field not in type(part).model_fields:
        return ""
    inside = getattr(part, field)
    if not isinstance(inside, Part):
        return ""
    below = (
        _objection(value, _own_checks(type(value)))
        for name in _fields_with_checks(type(inside))
        for value in [getattr(inside, name)]
        if isinstance(value, Part)
    )
    return _objection(inside, _own_checks(type(inside))) or next(filter(None, below), "")


def _objection(part: Part, own: Iterable[Callable[[Part], object]]) -> str:
    for check in own:
        try:
            check(part)
        except SpecError as error:
            return str(error)
    return ""


def _name(check: Callable[[Part], object]) -> str:
    return str(getattr(check, "__qualname__", check))


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
        self.answers = answers_of(root)
        self.decisions: dict[str, Value] = {}
        self.waiting: dict[str, list[Check]] = {}
        self.ways: dict[Check, Way] = {}  # one that is open to a check
        self.refused = self._ask(checks())

    def _ask(self, asked: Iterable[Check]) -> str:
        """Name of the first check that objects; those without an answer are kept waiting."""
        refused = ""
        for check in asked:
            answer = self.answers.ask(check, self.decisions)
            if isinstance(answer, Waits):
                self.waiting.setdefault(answer.name, []).append(check)
            else:
                refused = refused or (check.name if answer else "")
        return refused

    def decide(self, name: str, value: Value) -> str:
        """Fill a hole; the name of a check that objects, or nothing."""
        self.decisions[name] = value
        self.ways = {check: way for check, way in self.ways.items() if _agrees(way, name, value)}
        asked = self.waiting.pop(name, [])
        if asked and not self.refused:
            self.refused = self._ask(asked)
        return self.refused

    def fits(self, name: str, option: str) -> bool:
        """Whether nothing objects to an option."""
        return not self.waiting or bool(self.refused) or not self.objection(name, option)

    def fitting(self, name: str, options: Sequence[str]) -> tuple[str, ...]:
        """The options to which nothing objects; all of them if something objects to each."""
        wrong = self.refused
        if not self.waiting or wrong:
            return tuple(options)
        found: list[str] = []
        for option in options:
            wrong = self.objection(name, option)
            if not wrong:
                found.append(option)
        if not found:
            self.refused = wrong  # what was chosen before leaves nothing: no use to go on looking
        return tuple(found or options)

    def objection(self, name: str, value: Value) -> str:
        """The name of a check that objects to an option, whatever else is chosen."""
        for waiting in self.waiting.values():
            for check in waiting:
                known = self.ways.get(check) or self._way(check, [AHEAD])
                if known is not None and _agrees(known, name, value):
                    self.ways[check] = known
                    continue
                way = self._trying(check, name, value, [AHEAD])
                if way is None:
                    return check.name
                self.ways[check] = {name: value} | way
        return ""

    def _way(self, check: Check, left: list[int]) -> Way | None:
        """What to choose so that a check does not object; none if there is nothing.

        It looks ahead for as many questions as are `left`; if that is not enough, there is hope.
        """
        left[0] -= 1
        answer = self.answers.ask(check, self.decisions)
        if not isinstance(answer, Waits):
            return None if answer else {}
        hole, name = answer.hole, answer.name
        if left[0] <= 0:
            return {name: None}
        for value in hole.options if isinstance(hole, Choice) else hole.some:
            way = self._trying(check, name, value, left)
            if way is not None:
                # Another number may fit or not; which options do was asked before.
                return {name: value if isinstance(hole, Choice) else None} | way
        return None

    def _trying(self, check: Check, name: str, value: Value, left: list[int]) -> Way | None:
        """What else to choose if a hole is filled like this."""
        self.decisions[name] = value
        try:
            return self._way(check, left)
        finally:
            del self.decisions[name]


def _agrees(way: Way, name: str, value: Value) -> bool:
    """Whether a way stays open: it does not need the hole, or needs it filled like this."""
    return name not in way or way[name] == value
