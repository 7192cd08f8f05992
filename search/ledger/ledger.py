"""The ledger: what a study has done and is doing, whatever dies meanwhile.

One row per trial of the budget, there from the start. A worker claims a row for a lease, renews the
lease while it works, and finishes with the token that it got: a worker that was taken for dead and
comes back has an old token and changes nothing. The unique index over normal forms makes sure that
equal memories are trained once, in whatever process they are thought of. All else that a study
leaves (records, Optuna's storage, the winner) is written from here and can be written again.

A trial goes from `open` over `running` to `done`. Where a study has rungs, one that ends a rung is
`waiting` until its cohort is judged; then it is open at the next rung, or done.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Table, Update, and_, case, func, or_, select, update

from .reading import Reading, Refused, Slot
from .storage import FACTS, KEYS, RECORDS, REFUSALS, RUNS, SLOTS, STUDIES, Storage

LEASE = 60.0
"""Seconds after which the work of a silent worker is given to another."""

Decisions = Mapping[int, Literal["promoted", "stopped"]]

Decide = Callable[[Sequence[Slot]], Decisions]
"""Which of the waiting trials go on and which are over; those that it does not name wait on."""


NONE: Decisions = {}


class LeaseLost(RuntimeError):
    """Another worker has this trial now; what this one did is thrown away."""


class Claim(NamedTuple):
    """A trial that a worker holds; `plan` is what an earlier worker had already decided."""

    slot: int
    token: int
    origin: str
    plan: str | None
    rung: int = 0


class Ledger(Reading):
    """A connection to the ledger of a study; each thread and process needs its own.

    `place` is a file or the address of a data base. Without a name it is the only study there.
    `decide` judges the rungs of a study that has some: every process that ends trials needs it.
    """

    def __init__(
        self,
        place: Path | str,
        study: str = "",
        lease: float = LEASE,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__(Storage(place, pause), study)
        self.lease = lease
        self.decide: Decide | None = None

    def note(self, **facts: object) -> None:
        """Note something about the study as a whole."""
        rows = [self._row(name=name, value=str(value)) for name, value in facts.items()]
        insert = self.storage.insert(FACTS)
        insert = insert.on_conflict_do_update(
            index_elements=["study", "name"], set_={"value": insert.excluded.value}
        )
        self.storage.write(lambda base: base.execute(insert, rows))

    def begin(self, name: str, **facts: object) -> None:
        """Enter a study under its name, with what is noted of it unless it is there already."""
        self.study = self.study or name
        rows = [self._row(name=name, value=str(value)) for name, value in facts.items()]

        def enter(base: Connection) -> None:
            base.execute(self._add(STUDIES), self._row())
            base.execute(self._add(FACTS), rows)

        self.storage.write(enter)

    def extend(self, trials: int, baselines: Sequence[str], nulls: int = 0) -> None:
        """Make sure that there are so many trials; the first ones train memories of these keys.

        After them come null candidates, which train the first of them again.
        """
        known = ["baseline"] * len(baselines) + ["null"] * nulls
        origins = known + ["search"] * (trials - len(known))
        rows = [self._row(slot=slot, origin=origin) for slot, origin in enumerate(origins)]
        keys = [self._row(key=key, slot=slot) for slot, key in enumerate(baselines)]

        def add(base: Connection) -> None:
            base.execute(self._add(SLOTS), rows)
            if keys:
                base.execute(self._add(KEYS), keys)

        self.storage.write(add)

    def claim(
        self, owner: str, below: int, lease: float | None = None, lag: int = 0
    ) -> Claim | None:
        """The first trial of a number `below` this that nobody works at; None if there is none.

        First those whose worker is silent, then those that are furthest up the rungs, then new
        ones. With a `lag`, trial k is there only once all up to k - lag are done and all before it
        are planned.
        """
        row = SLOTS.c

        def take(base: Connection) -> Claim | None:
            now = self.storage.clock()
            silent = and_(row.state == "running", row.lease < now)
            free = [row.study == self.study, row.slot < below, or_(row.state == "open", silent)]
            if lag:
                waited = select(func.min(row.slot)).where(
                    row.study == self.study, row.state != "done"
                )
                free.append(row.slot < waited.scalar_subquery() + lag)
                # planned in their order: a memory that is taken is taken by the same trial always
                planless = waited.where(row.plan.is_(None)).scalar_subquery()
                free.append(or_(row.plan.is_not(None), row.slot == planless))
            found = base.execute(
                select(row.slot, row.token + 1, row.origin, row.plan, row.rung)
                .where(*free)
                .order_by(case((silent, 0), else_=1), row.rung.desc(), row.slot)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if found is None:
                return None
            claim = Claim(*found)
            until = now + (self.lease if lease is None else lease)
            mine = self._change(claim.slot)
            base.execute(mine.values(state="running", owner=owner, token=claim.token, lease=until))
            return claim

        return self.storage.write(take)

    def renew(self, slot: int, token: int, lease: float | None = None) -> None:
        """Hold a trial for another lease. Raises LeaseLost."""
        self.storage.write(lambda base: self._hold(base, slot, token, lease=self._until(lease)))

    def plan(
        self, slot: int, token: int, key: str, plan: str, refused: Sequence[Refused] = ()
    ) -> int | None:
        """Decide what a trial trains; the trial that already has this key if there is one.

        `refused` is what was thought of before and is kept with the decision.
        """
        rows = [self._row(**each._asdict()) for each in refused]

        def decide(base: Connection) -> int | None:
            self._hold(base, slot, token)
            base.execute(self._add(KEYS), self._row(key=key, slot=slot))
            has = select(KEYS.c.slot).where(KEYS.c.study == self.study, KEYS.c.key == key)
            owner = int(base.execute(has).scalar_one())
            if owner != slot:
                return owner
            base.execute(self._change(slot).values(plan=plan))
            if rows:
                base.execute(self._add(REFUSALS), rows)
            return None

        return self.storage.write(decide)

    def add_run(
        self, slot: int, token: int, number: int, result: str, lease: float | None = None
    ) -> None:
        """Keep one run of a trial, so that whoever takes the trial over need not repeat it."""

        def keep(base: Connection) -> None:
            self._hold(base, slot, token, lease=self._until(lease), crashes=0)
            base.execute(self._add(RUNS), self._row(slot=slot, number=number, result=result))

        self.storage.write(keep)

    def finish(self, slot: int, token: int, record: str) -> None:
        """End a trial with its record. Raises LeaseLost."""
        self._end(slot, token, record, last=True)

    def finish_rung(self, slot: int, token: int, record: str) -> None:
        """End a rung of a trial, with the record that it leaves if it stops there.

        It waits. Whatever waited for no more than this is judged at once. Raises LeaseLost.
        """
        self._end(slot, token, record, last=False)

    def _end(self, slot: int, token: int, record: str, last: bool) -> None:
        def end(base: Connection) -> None:
            # One at a time: who comes second sees what the first one left.
            mine = select(STUDIES.c.study).where(STUDIES.c.study == self.study)
            base.execute(mine.with_for_update())
            rung = self._hold(base, slot, token, state="waiting", owner="")
            base.execute(self._add(RECORDS), self._row(slot=slot, rung=rung, record=record))
            if last:
                self._close(base, slot)
            try:
                self._judged(base)
            finally:
                self.forget(slot)  # read before it is kept: what is rolled back was never there

        self.storage.write(end)

    def judge(self) -> None:
        """Decide what can be decided of trials that wait: a study may have become shorter."""

        def judge(base: Connection) -> None:
            mine = select(STUDIES.c.study).where(STUDIES.c.study == self.study)
            base.execute(mine.with_for_update())
            self._judged(base)

        if self.decide:
            self.storage.write(judge)

    def _judged(self, base: Connection) -> None:
        verdicts = self.decide(self.slots_at(base)) if self.decide else NONE
        for each, verdict in verdicts.items():
            if verdict == "stopped":
                self._close(base, each)
            else:
                next_rung = self._change(each).values(state="open", rung=SLOTS.c.rung + 1)
                base.execute(next_rung.where(SLOTS.c.state == "waiting"))

    def _close(self, base: Connection, slot: int) -> None:
        places = select(func.coalesce(func.max(SLOTS.c.place) + 1, 0))
        place = places.where(SLOTS.c.study == self.study).scalar_subquery()
        change = self._change(slot).where(SLOTS.c.state == "waiting")
        base.execute(change.values(state="done", place=place))

    def crashed(self, slot: int, token: int) -> int:
        """Count a training process that died by itself; how many it were since the last result."""

        def count(base: Connection) -> int:
            self._hold(base, slot, token, crashes=SLOTS.c.crashes + 1)
            mine = select(SLOTS.c.crashes).where(SLOTS.c.study == self.study)
            return int(base.execute(mine.where(SLOTS.c.slot == slot)).scalar_one())

        return self.storage.write(count)

    def give_back(self, slot: int, token: int) -> None:
        """Give a trial back, to be begun again by anybody. Raises LeaseLost."""
        self.storage.write(
            lambda base: self._hold(base, slot, token, state="open", owner="", token=token + 1)
        )

    def release(self, owner: str) -> list[int]:
        """Give back at once all that an owner, or all whose names start so, still holds."""
        change = update(SLOTS).where(
            SLOTS.c.study == self.study,
            SLOTS.c.state == "running",
            func.substr(SLOTS.c.owner, 1, len(owner)) == owner,
        )
        change = change.values(state="open", owner="", token=SLOTS.c.token + 1)
        given = change.returning(SLOTS.c.slot)
        return sorted(self.storage.write(lambda base: list(base.scalars(given))))

    def _row(self, **values: object) -> dict[str, object]:
        return {"study": self.study, **values}

    def _add(self, table: Table) -> Any:
        """Add rows that are not there yet."""
        return self.storage.insert(table).on_conflict_do_nothing()

    def _change(self, slot: int) -> Update:
        return update(SLOTS).where(SLOTS.c.study == self.study, SLOTS.c.slot == slot)

    def _until(self, lease: float | None) -> Any:
        return self.storage.clock() + (self.lease if lease is None else lease)

    def _hold(self, base: Connection, slot: int, token: int, /, **values: Any) -> int:
        """Change a trial that is held with this token; its rung. Raises LeaseLost."""
        held = self._change(slot).where(SLOTS.c.token == token, SLOTS.c.state == "running")
        held = held.values(values or {"token": token}).returning(SLOTS.c.rung)
        rung = base.execute(held).scalar()
        if rung is None:
            raise LeaseLost(f"trial {slot} has been given to another worker")
        return int(rung)
