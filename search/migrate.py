"""Finished trials of a study, moved into another one whose space is wider or otherwise different.

A study is bound to its grammar: names, options and ranges of what was chosen. When these change,
because a space was widened or a part was added, another study has to go on; but what was trained
stays true wherever the same memory is trained in the same way. So a trial is moved if its memory is
in the new space too: its choices are made again by name, those that the old space did not have are
read off the memory, and what comes of them must have the same key.
"""

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from miras.canonical import key, stacked
from miras.known import known
from miras.part import SpecError
from miras.result import TrialRecord
from miras.stack import Stack

from .ledger.ledger import Claim, Ledger
from .ledger.place import LEDGER, alone
from .proposing.planner import Plan
from .space.asking import LEARNING_RATE
from .space.derive import CELL_TYPE, Candidate, FromChoices, Refusal, Value, build, derive
from .space.inverse import choices_of
from .space.space import Space
from .study import Study
from .trial.evaluation import judge
from .trial.matching import length_of
from .workers.worker import recorded

GRAMMAR = "grammar"
"""The fact that says with which grammar a study was begun."""

FREE = frozenset(
    (
        *("name", "description", "space", "baselines", "sampler", "seed", "budget", "workers"),
        *("limits", "lag", "rungs", "cohort", "nulls", "confirm", "first_look"),
    )
)
"""What may differ between two studies whose results are comparable."""

OWNER, HELD = "migration/", 86_400.0  # seconds: nobody works at the new study before it is over


class Moved(NamedTuple):
    """What became of the finished trials of a study."""

    place: str
    moved: dict[int, int]  # number in the old study -> number in the new one
    left: dict[int, str]  # number in the old study -> why it was not moved

    def __str__(self) -> str:
        total = len(self.moved) + len(self.left)
        lines = [f"{len(self.moved)} of {total} finished trials were moved to {self.place}"]
        for reason, count in Counter(self.left.values()).most_common():
            first = next(number for number, each in self.left.items() if each == reason)
            lines.append(f"{count} left: {reason} (first: trial {first})")
        return "\n".join(lines)


def insist_on_grammar(ledger: Ledger, space: Space, folder: Path | str) -> None:
    """Note the grammar of a study, or make sure that it is the one that is noted."""
    noted, own = ledger.fact(GRAMMAR), space.fingerprint
    if noted is None:
        ledger.note(**{GRAMMAR: own})
    elif noted != own:
        raise SpecError(
            f"{folder} was begun with another grammar ({noted}, now {own}): parts, options,"
            " ranges or known memories of its space have changed since. Go on with the version of"
            f" miras that began it, or move what is finished: `miras migrate {folder} STUDY --out"
            " NEW_FOLDER`"
        )


def migrate(old: Path, study: Study, folder: Path, storage: str = "") -> Moved:
    """Begin a study in a folder with the finished trials of an older one. Raises SpecError.

    With `storage` it is begun in the data base of this address; the older one is the study of that
    name there where `old` is no folder of one.
    """
    from .engine import enter, entered

    path = old / LEDGER
    if not storage and not (path.is_file() and path.stat().st_size):
        raise SpecError(
            f"there is no study in {old}: name the folder of one, such as runs/first; for a study"
            " in a data base write its name and --storage"
        )
    with Ledger(path) if path.is_file() else Ledger(storage, old.name) as source:
        before = entered(source)
        records = [
            TrialRecord.model_validate_json(slot.record)
            for slot in source.slots()
            if slot.record and slot.state == "done"
        ]
    if different := [name for name in study.differences(before) if name not in FREE]:
        raise SpecError(
            f"the studies differ in {', '.join(different)}: their results cannot be compared. Use"
            " the settings of the old study, and another space"
        )
    with _new(study, folder, storage) as ledger:
        enter(study, ledger, folder)
        move = _Move(study, before, ledger)
        try:
            for record in records:
                move.take(record)
        finally:
            ledger.release(OWNER)
        ledger.note(migrated=f"{len(move.moved)} trials of {before.name}, {time.time():.0f}")
    return Moved(ledger.study if storage else str(folder), move.moved, move.left)


@contextmanager
def _new(study: Study, folder: Path, storage: str) -> Generator[Ledger]:
    """A ledger in which nothing is known of a study."""
    if storage:
        with Ledger(storage, study.name) as ledger:
            if study.name in ledger.names():
                raise SpecError(
                    f"there is a study {study.name} in that data base already: give the new one"
                    " another name"
                )
            yield ledger
        return
    if (folder / LEDGER).exists():
        raise SpecError(f"there is a study in {folder} already: name a new folder with --out")
    with alone(folder) as place, Ledger(place.ledger) as ledger:
        yield ledger


class _Move:
    """One migration."""

    def __init__(self, study: Study, before: Study, ledger: Ledger) -> None:
        self.study, self.before, self.ledger, self.space = study, before, ledger, study.opened()
        self.length = length_of(study.tasks) if study.match else 0
        self.places = {self._own_key(known()[name]): i for i, name in enumerate(study.baselines)}
        self.claims: dict[int, Claim] = {}
        self.moved: dict[int, int] = {}
        self.left: dict[int, str] = {}
        # Known memories are all held, so that those which were trained can be ended in any order.
        while len(self.claims) < study.known and (claim := self._claim()):
            self.claims[claim.slot] = claim
        self.open = self._claim()

    def _claim(self) -> Claim | None:
        return self.ledger.claim(OWNER, below=self.study.budget.trials, lease=HELD)

    def _own_key(self, memory: Candidate) -> str:
        """The normal form of a known memory in the sizes of the new study."""
        plan = Plan("baseline", memory, {}, ()).matched(self.study, self.length)
        return "" if isinstance(plan, Refusal) else key(plan.memory)

    def take(self, record: TrialRecord) -> None:
        """Move one trial, or say why not."""
        rung = self.rung(record)
        if record.status == "ok" and rung != len(self.study.looks) - 1:
            self.left[record.number] = "it was not trained on all that the last rung asks for"
            return
        if record.status == "stopped" and rung is None:
            self.left[record.number] = "it was not trained on all that any rung asks for"
            return
        found = self.again(record) if record.origin == "null" else self.plan(record)
        if isinstance(found, str):
            self.left[record.number] = found
            return
        own, again = key(found.memory), ""
        if found.origin == "null":
            claim = self.claims.pop(self.null(record))
            again = f" again, trial {claim.slot}"
        else:
            claim = self.claims.pop(self.places.get(own, -1), None)
        origin = "baseline" if claim and not again else found.origin
        if claim and not again and not self.tuned(record):
            self.claims[claim.slot] = claim
            self.left[record.number] = "a known memory of the new study is trained at all its rates"
            return
        claim = claim or self.open
        if claim is None:
            self.left[record.number] = "the budget of the new study has no place for more"
            return
        plan = found._replace(origin=origin, choices={} if origin == "baseline" else found.choices)
        taken = self.ledger.plan(claim.slot, claim.token, own + again, plan.write())
        if taken is not None:
            self.left[record.number] = "another trial of the new study trains the same"
            return
        changed = record.model_copy(
            update={
                "study": self.study.name,
                "number": claim.slot,
                "origin": origin,
                "choices": dict(plan.choices),
                "equals": plan.known(),
                "rung": 0,
            }
        )
        if rung is not None and record.status in ("ok", "stopped"):
            changed = changed.model_copy(update=self.judged(changed, plan, rung))
        self.ledger.finish(claim.slot, claim.token, changed.model_dump_json())
        self.moved[record.number] = claim.slot
        if claim is self.open:
            self.open = self._claim()

    def rung(self, record: TrialRecord) -> int | None:
        """The last rung of the new study of which all runs are there."""
        shift = self.before.shift(record.number)
        return max(
            (
                rung
                for rung in range(len(self.study.looks))
                if judge(self.study, record.results, None, rung, shift).status == "ok"
            ),
            default=None,
        )

    def judged(self, record: TrialRecord, plan: Plan, rung: int) -> dict[str, Any]:
        """What the new study makes of its runs: it may have other rungs, seeds and objectives."""
        again = recorded(self.study, record.number, plan, record.results, None, 0.0, rung)
        told = {"status", "reason", "rung", "objectives", "seeds", "learning_rate"}
        return {name: getattr(again, name) for name in told}

    def tuned(self, record: TrialRecord) -> bool:
        """Whether it was trained at all rates that a known memory of the new study gets."""
        tried = {result.learning_rate for result in record.results}
        return record.origin == "baseline" or {*self.study.rates} <= tried

    def memory(self, record: TrialRecord) -> Candidate | str:
        """What a trial trained, or why it cannot be trained in the same way by now."""
        memory = build(record.memory) if record.memory else None
        if memory is None:
            return "it had no memory"
        if isinstance(memory, Refusal):
            return f"the grammar refuses its memory by now: {memory.rule}"
        if key(memory) != record.key:
            return "its memory has another normal form by now"
        return memory

    def plan(self, record: TrialRecord) -> Plan | str:
        """What the new study trains in its place, or why nothing does."""
        memory = self.memory(record)
        if isinstance(memory, str):
            return memory
        if record.key in self.places and record.origin == "baseline":
            return Plan("baseline", memory, {}, self.study.rates, record.shell, record.equals)
        rate = record.learning_rate
        rates = self.study.rates
        if (searched := self.study.searched_rates) is not None:
            if not searched.low <= rate <= searched.high:
                return "its learning rate is outside of the new range"
            rates = (rate,)
        elif rate and rate not in rates:
            return "it was not trained at the rates of the new study"
        reason = "its memory is not in the new space"
        for read_off, choices in self.counterparts(memory, record):
            if searched is not None:
                choices = choices | {LEARNING_RATE: rate}
            try:
                derived = derive(self.space, FromChoices(choices), searched, narrow=False)
            except SpecError:
                continue  # by name the new space offers something else
            again = build(derived.spec)
            if isinstance(again, Refusal):
                reason = f"the grammar refuses its counterpart: {again.rule}"
                continue
            again = stacked(again, self.study.shell.layers)
            origin = "search" if record.origin == "baseline" else record.origin
            named = again.model_copy(update={"name": record.name})
            found = Plan(origin, named, derived.choices, rates).matched(self.study, self.length)
            if not isinstance(found, Refusal) and key(found.memory) == record.key:
                return found
            reason = "its counterpart is another memory" if read_off else reason
        return reason

    def null(self, record: TrialRecord) -> int:
        """The place of a null candidate: its seeds depend on how many there were before it."""
        return len(self.study.baselines) + record.number - len(self.before.baselines)

    def again(self, record: TrialRecord) -> Plan | str:
        """The null candidate with the same seeds, if the new study has it."""
        first = self.places.get(record.key) == 0
        if not first or self.null(record) not in self.claims:
            return "the new study has no such null candidate"
        memory = self.memory(record)
        if isinstance(memory, str):
            return memory
        return Plan("null", memory, {}, self.study.rates, record.shell, record.equals)

    def counterparts(
        self, memory: Candidate, record: TrialRecord
    ) -> Iterator[tuple[bool, dict[str, Value]]]:
        """Choices that may make a memory in the new space: the recorded ones, those read off it."""
        if record.choices:
            yield False, dict(record.choices)
        wanted = Stack if isinstance(memory, Stack) else CELL_TYPE
        if (found := choices_of(self.space.root, memory, wanted, record.choices)) is not None:
            yield True, found
