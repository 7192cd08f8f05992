"""Optuna's storage: the finished trials of a study once more, for the tools that read Optuna.

One of all who take part writes it, for as long as it renews its lease; when it is gone another one
takes over. Whoever begins compares what is there with the ledger and adds what is missing, so a
storage that was lost is written again. Only finished trials are added: none is ever left running.
"""

import fcntl
import os
import time
import warnings
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import Connection, event, or_, select, update

from miras.result import TrialRecord

from ..proposing.planner import finished
from ..space.space import Space
from ..study import Study
from .ledger import Ledger
from .place import Place
from .storage import BUSY, SLOTS, STUDIES, url_of

SQLITE, JOURNAL = "optuna.db", "optuna.journal"

WRITING = 0x6D697262
"""The lock of PostgreSQL that is held by all who write Optuna's tables, and while they do."""


class Lost(RuntimeError):
    """Somebody else writes now, or the storage went away: look again what is there."""


class Lead:
    """The right to write Optuna's storage of a study, which one of all who take part has."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger, self.name, self.token = ledger, name, 0
        self.due = 0.0

    def take(self) -> bool:
        """Whether we have the lead, taking it if nobody has it and renewing it when it is time."""
        if time.monotonic() < self.due:
            return self.token > 0
        row, storage = STUDIES.c, self.ledger.storage
        mine = update(STUDIES).where(row.study == self.ledger.study).returning(row.token)

        def take(base: Connection) -> int:
            now = storage.clock()
            until = now + self.ledger.lease
            kept = mine.where(row.writer == self.name, row.token == self.token, row.token > 0)
            token = base.execute(kept.values(lease=until)).scalar()
            if token is None:
                # Our name with another token: a life before, which is over, as we have its folder.
                free = mine.where(or_(row.writer == self.name, row.lease < now))
                values = {"writer": self.name, "token": row.token + 1, "lease": until}
                token = base.execute(free.values(values)).scalar()
            return int(token or 0)

        self.token = storage.write(take)
        self.due = time.monotonic() + min(self.ledger.lease / 4, 5.0 if self.token else 1.0)
        return self.token > 0

    def give(self) -> None:
        """Leave the lead to whoever comes first."""
        row = STUDIES.c
        mine = update(STUDIES).where(row.study == self.ledger.study, row.writer == self.name)
        ours = mine.where(row.token == self.token).values(lease=0.0, writer="")
        self.ledger.storage.write(lambda base: base.execute(ours))
        self.token, self.due = 0, 0.0

    def tell(self, slot: int, write: Callable[[], None]) -> None:
        """Write a trial, and note that it is written, while nobody else can. Raises Lost."""
        row = STUDIES.c
        ours = select(row.study).where(row.study == self.ledger.study, row.writer == self.name)
        ours = ours.where(row.token == self.token).with_for_update()

        def tell(base: Connection) -> None:
            if base.execute(ours).first() is None:
                raise Lost("another search writes Optuna's storage now")
            write()
            told = update(SLOTS).where(SLOTS.c.study == self.ledger.study, SLOTS.c.slot == slot)
            base.execute(told.values(told=1))

        self.ledger.storage.write(tell)

    def compare(self, told: Set[int]) -> None:
        """Note which finished trials are written: these and no others."""
        row = SLOTS.c
        mine = select(row.slot, row.told).where(row.study == self.ledger.study, row.state == "done")

        def compare(base: Connection) -> None:
            for slot, marked in base.execute(mine).all():
                if marked != (slot in told):
                    wrong = update(SLOTS).where(row.study == self.ledger.study, row.slot == slot)
                    base.execute(wrong.values(told=int(slot in told)))

        self.ledger.storage.write(compare)


class Teller:
    """Writes Optuna's storage of one study: `kind` is journal, sqlite or an address."""

    def __init__(self, study: Study, space: Space, ledger: Ledger, place: Place, kind: str) -> None:
        self.study, self.space, self.ledger, self.place = study, space, ledger, place
        self.kind = kind
        self.lead = Lead(ledger, place.name)
        self.told: set[int] = set()
        self.storage: BaseStorage | None = None
        self.optuna: optuna.Study | None = None
        self.token = 0

    def update(self, records: Mapping[int, TrialRecord]) -> None:
        """Write what has ended since the last time, if it is ours to write. Raises Lost."""
        if not self.lead.take():
            self._leave()
            return
        if self.optuna is None or self.token != self.lead.token:
            self._open()
        for slot in self.ledger.untold():
            if slot in records:
                self.lead.tell(slot, lambda slot=slot: self._add(records[slot]))

    def close(self) -> None:
        """Let somebody else write."""
        if self.lead.token:
            self.lead.give()
        self._leave()

    def _open(self) -> None:
        try:
            self.storage = opened(self.kind, self.place.folder)
            self.optuna = self._study(self.storage)
            settled(self.storage)
            trials = self.optuna.get_trials(deepcopy=False)
        except Exception as error:  # Optuna's storages raise what they like at a torn file
            self._leave()
            aside = self._aside() if _torn(error) else None
            if aside is None:
                raise Lost(f"Optuna's storage cannot be opened ({_first(error)})") from error
            raise Lost(
                f"Optuna's storage was torn: it is now {aside}, and is written anew"
            ) from error
        self.told = {trial.user_attrs["trial"] for trial in trials}
        self.lead.compare(self.told)
        self.token = self.lead.token

    def _add(self, record: TrialRecord) -> None:
        if self.optuna is None or record.number in self.told:
            return
        trial = finished(
            self.study,
            self.space,
            record,
            trial=record.number,
            origin=record.origin,
            memory=record.name,
            key=record.key,
            equals=list(record.equals),
            reason=record.reason[:2000],
        )
        try:
            self.optuna.add_trial(trial)
        except Exception as error:
            # Nobody knows whether it is there: the next time it is looked up.
            self._leave()
            raise Lost(f"Optuna's storage does not answer ({_first(error)})") from error
        self.told.add(record.number)

    def _study(self, storage: BaseStorage) -> optuna.Study:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            found = optuna.create_study(
                study_name=self.study.name,
                storage=storage,
                directions=["maximize" for _ in self.study.measures],
                load_if_exists=True,
            )
            found.set_metric_names(list(self.study.measures))
        return found

    def _leave(self) -> None:
        if isinstance(self.storage, RDBStorage):
            self.storage.engine.dispose()
        self.optuna = self.storage = None

    def _aside(self) -> Path | None:
        """Move a torn file of ours away: all that was in it is in the ledger."""
        path = self.place.folder / {"sqlite": SQLITE, "journal": JOURNAL}.get(self.kind, "")
        if path.is_dir():
            return None
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return path.replace(path.with_name(f"{path.name}.torn"))


def usual(folder: Path) -> str:
    """What is written into a folder where nobody says: what is there already, else a journal.

    A trial of forty choices takes 2 ms in Optuna's journal and 60 in its SQLite, which asks about
    each choice what it was before; a thousand of them are open after half a second and after three.
    """
    return "sqlite" if (folder / SQLITE).exists() else "journal"


def opened(kind: str, folder: Path) -> BaseStorage:
    """Optuna's storage of a study: a file in its folder, or a data base."""
    if kind == "journal":
        path = folder / JOURNAL
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))
    if kind != "sqlite":
        storage = RDBStorage(url_of(kind).render_as_string(hide_password=False))
        if storage.engine.name == "postgresql":
            event.listen(storage.engine, "begin", _enter)
        return storage
    storage = RDBStorage(f"sqlite:///{folder / SQLITE}", {"connect_args": {"timeout": 60}})
    # It can be written again from the ledger, so it need not wait for the disk.
    event.listen(storage.engine, "connect", _hasten)
    storage.engine.dispose()
    return storage


def _enter(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({WRITING})")


def settled(storage: BaseStorage) -> None:
    """Wait until all that was on its way into the storage is there, or is not.

    A server goes on with a transaction whose writer was killed after it had said COMMIT: who reads
    too early would write the same trial once more.
    """
    if isinstance(storage, RDBStorage) and storage.engine.name == "postgresql":
        with storage.engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {1000 * BUSY:.0f}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING})")


def _hasten(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _mend(path: Path) -> None:
    """Cut off a last line that a kill has torn: with one after it nobody could read the file."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)


class _Lock(JournalFileOpenLock):
    """A lock that ends with its process; those of Optuna outlive it and stall others for 30 s."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path.with_name(path.name + ".flock")
        self.file: int | None = None

    def acquire(self) -> bool:
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self.file is not None:
            os.close(self.file)
        self.file = None


def _causes(error: BaseException | None) -> str:
    return f"{error!r} {_causes(error.__cause__ or error.__context__)}" if error else ""


def _torn(error: Exception) -> bool:
    words = ("malformed", "not a database", "JSONDecodeError", "KeyError", "UnicodeDecodeError")
    return any(word in _causes(error) for word in words)


def _first(error: Exception) -> str:
    return (str(error.__cause__ or error) or type(error).__name__).strip().splitlines()[0]
