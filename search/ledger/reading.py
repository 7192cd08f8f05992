"""Reading a ledger: what its study has done and is doing.

Plans, records and refusals are long and never change once they are there, so a connection keeps
those that it has read and asks for the new ones alone. What a transaction reads that has written it
itself is forgotten: it may be rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Table, func, select

from miras.part import SpecError

from .storage import FACTS, RECORDS, REFUSALS, RUNS, SLOTS, STUDIES, Storage

AT_ONCE = 500
"""Trials that one question asks for."""


class Slot(NamedTuple):
    """A trial, as others see it; `passed` are the records of the rungs before the last one."""

    slot: int
    origin: str
    state: str
    plan: str | None
    record: str | None
    rung: int = 0
    passed: tuple[str, ...] = ()


class Refused(NamedTuple):
    """A derivation that did not become a trial."""

    slot: int
    attempt: int
    rule: str
    sentence: str
    choices: str


class Reading:
    """One study of a data base; what was read once is kept. Without a name it is the only one."""

    def __init__(self, storage: Storage, study: str = "") -> None:
        self.storage = storage
        names = self.names()
        if not study and len(names) > 1:
            storage.close()
            raise SpecError(f"there are several studies: name one of {', '.join(names)}")
        self.study = study or "".join(names)
        self._plans: dict[int, str] = {}
        self._records: dict[int, list[str]] = {}
        self._refused: dict[int, list[Refused]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.storage.close()

    def forget(self, slot: int) -> None:
        """Read the records of a trial anew when they are asked for."""
        self._records.pop(slot, None)

    def names(self) -> list[str]:
        """All studies of the data base."""
        found = select(STUDIES.c.study).order_by(STUDIES.c.study)
        return self.storage.read(lambda base: list(base.scalars(found)))

    def fact(self, name: str) -> str | None:
        """Something noted about the study as a whole."""
        found = select(FACTS.c.value).where(FACTS.c.study == self.study, FACTS.c.name == name)
        return self.storage.read(lambda base: base.scalar(found))

    def facts(self, prefix: str) -> dict[str, str]:
        """All that was noted under names that begin so."""
        row = FACTS.c
        found = select(row.name, row.value).where(row.study == self.study)
        found = found.where(func.substr(row.name, 1, len(prefix)) == prefix)
        return self.storage.read(lambda base: {each[0]: each[1] for each in base.execute(found)})

    def now(self) -> float:
        """Seconds since 1970 by the clock that all who take part share."""
        return self.storage.read(
            lambda base: float(base.execute(select(self.storage.clock())).scalar_one())
        )

    def runs(self, slot: int) -> dict[int, str]:
        """The runs of a trial that are finished, by number."""
        row = RUNS.c
        found = select(row.number, row.result).where(row.study == self.study, row.slot == slot)
        return self.storage.read(lambda base: {each[0]: each[1] for each in base.execute(found)})

    def slots(self, since: int = 0, planned: bool = False) -> list[Slot]:
        """All trials from number `since` on, or those of them that somebody has planned."""
        return self.storage.read(lambda base: self.slots_at(base, since, planned))

    def refusals(self, since: int = 0) -> list[Refused]:
        """Derivations that did not become trials, from trial `since` on, in order of attempts."""
        return self.storage.read(lambda base: self._refusals(base, since))

    def count_refusals(self) -> dict[str, int]:
        """How many derivations each rule refused; `duplicate` is no rule of the grammar."""
        row = REFUSALS.c
        found = select(row.rule, func.count()).where(row.study == self.study).group_by(row.rule)
        return self.storage.read(lambda base: {each[0]: each[1] for each in base.execute(found)})

    def ended(self, after: int = -1) -> list[tuple[int, int]]:
        """Place and number of the trials that ended later than the one at this place, in order."""
        row = SLOTS.c
        found = select(row.place, row.slot).where(row.study == self.study, row.place > after)
        found = found.order_by(row.place)
        return self.storage.read(lambda base: [(each[0], each[1]) for each in base.execute(found)])

    def untold(self) -> list[int]:
        """Finished trials that Optuna's storage does not have yet, in the order of their end."""
        row = SLOTS.c
        found = select(row.slot).where(row.study == self.study, row.state == "done", row.told == 0)
        return self.storage.read(lambda base: list(base.scalars(found.order_by(row.place))))

    def record(self, slot: int) -> str:
        """The last record of a trial that has one."""
        row = RECORDS.c
        found = select(row.record).where(row.study == self.study, row.slot == slot)
        last = found.order_by(row.rung.desc()).limit(1)
        return self.storage.read(lambda base: str(base.execute(last).scalar_one()))

    def running(self) -> list[tuple[int, str | None]]:
        """Number and plan of the trials that somebody works at."""
        row = SLOTS.c
        found = select(row.slot, row.plan).where(row.study == self.study, row.state == "running")
        found = found.order_by(row.slot)
        return self.storage.read(lambda base: [(each[0], each[1]) for each in base.execute(found)])

    def held(self) -> list[tuple[int, str, int]]:
        """Number, owner and token of the trials that somebody works at."""
        row = SLOTS.c
        found = select(row.slot, row.owner, row.token).where(row.study == self.study)
        held = found.where(row.state == "running").order_by(row.slot)
        return self.storage.read(lambda base: [(r[0], r[1], r[2]) for r in base.execute(held)])

    def states(self, below: int) -> Mapping[str, int]:
        """How many trials of a number `below` this are open, running, waiting and done."""
        row = SLOTS.c
        counts = select(row.state, func.count()).where(row.study == self.study, row.slot < below)
        counts = counts.group_by(row.state)
        none = dict.fromkeys(("open", "running", "waiting", "done"), 0)
        found = self.storage.read(lambda base: base.execute(counts).all())
        return none | {each[0]: each[1] for each in found}

    def slots_at(self, base: Connection, since: int = 0, planned: bool = False) -> list[Slot]:
        """All trials from number `since` on, or the planned ones, as a transaction sees them."""
        row = SLOTS.c
        wanted = select(row.slot, row.origin, row.state, row.rung, row.plan.is_not(None))
        wanted = wanted.where(row.study == self.study, row.slot >= since).order_by(row.slot)
        found = base.execute(wanted.where(row.plan.is_not(None)) if planned else wanted).all()
        unread = [slot for slot, *_, plan in found if plan and slot not in self._plans]
        for slot, plan in self._rows(base, SLOTS, unread, row.slot, row.plan):
            self._plans[slot] = plan
        ended = {slot: rung + (state in ("waiting", "done")) for slot, _, state, rung, _ in found}
        new = [slot for slot, count in ended.items() if count > len(self._records.get(slot, ()))]
        for slot in new:
            self._records[slot] = []
        kept = RECORDS.c
        for slot, _, record in self._rows(base, RECORDS, new, kept.slot, kept.rung, kept.record):
            self._records[slot].append(record)
        return [self._slot(*each) for each in found]

    def _slot(self, slot: int, origin: str, state: str, rung: int, _: bool) -> Slot:
        records = self._records.get(slot, ())
        at = rung + (state in ("waiting", "done"))
        last = records[at - 1] if at else None
        return Slot(
            slot, origin, state, self._plans.get(slot), last, rung, tuple(records[: at - 1])
        )

    def _refusals(self, base: Connection, since: int) -> list[Refused]:
        row = REFUSALS.c
        counted = base.execute(
            select(row.slot, func.count())
            .where(row.study == self.study, row.slot >= since)
            .group_by(row.slot)
            .order_by(row.slot)
        ).all()
        new = [slot for slot, count in counted if count > len(self._refused.get(slot, ()))]
        for slot in new:
            self._refused[slot] = []
        columns = (row.slot, row.attempt, row.rule, row.sentence, row.choices)
        for each in self._rows(base, REFUSALS, new, *columns):
            self._refused[each[0]].append(Refused(*each))
        return [each for slot, _ in counted for each in self._refused[slot]]

    def _rows(
        self, base: Connection, table: Table, slots: Sequence[int], *columns: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of these trials, in order."""
        for start in range(0, len(slots), AT_ONCE):
            some = slots[start : start + AT_ONCE]
            found = select(*columns).where(table.c.study == self.study, table.c.slot.in_(some))
            yield from map(tuple, base.execute(found.order_by(*columns[:2])))
