"""The ledger: what a study has done and is doing, whatever dies meanwhile.

One row per trial of the budget, there from the start. A worker claims a row for a lease, renews the
lease while it works, and finishes with the token that it got: a worker that was taken for dead and
comes back has an old token and changes nothing. The unique index over normal forms makes sure that
equal memories are trained once, in whatever process they are thought of. All else that a study
leaves (records, Optuna's storage, the winner) is written from here and can be written again.
"""

import os
import socket
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

LEASE = 60.0
"""Seconds after which the work of a silent worker is given to another."""

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS slots (
    slot INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'running', 'done')),
    owner TEXT NOT NULL DEFAULT '',
    token INTEGER NOT NULL DEFAULT 0,
    lease REAL NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    plan TEXT,
    record TEXT,
    place INTEGER,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, slot INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    slot INTEGER NOT NULL, number INTEGER NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (slot, number)
);
CREATE TABLE IF NOT EXISTS refusals (
    slot INTEGER NOT NULL, attempt INTEGER NOT NULL, rule TEXT NOT NULL, sentence TEXT NOT NULL,
    choices TEXT NOT NULL, PRIMARY KEY (slot, attempt)
);
"""


class LeaseLost(RuntimeError):
    """Another worker has this trial now; what this one did is thrown away."""


class Claim(NamedTuple):
    """A trial that a worker holds; `plan` is what an earlier worker had already decided."""

    slot: int
    token: int
    origin: str
    plan: str | None


class Slot(NamedTuple):
    """A row, as others see it."""

    slot: int
    origin: str
    state: str
    plan: str | None
    record: str | None


class Refused(NamedTuple):
    """A derivation that did not become a trial."""

    slot: int
    attempt: int
    rule: str
    sentence: str
    choices: str


class Ledger:
    """A connection to the ledger of a study; each thread and process needs its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = sqlite3.connect(path, timeout=60, isolation_level=None)
        # WAL: readers never wait for the writer. FULL: what is finished survives a power cut.
        self.base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self.base.executescript(_TABLES)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.base.close()

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that holds the write lock from its start."""
        self.base.execute("BEGIN IMMEDIATE")
        try:
            yield self.base
        except BaseException:
            self.base.execute("ROLLBACK")
            raise
        self.base.execute("COMMIT")

    def fact(self, name: str) -> str | None:
        """Something noted about the study as a whole."""
        found = self.base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else None

    def note(self, **facts: object) -> None:
        """Note something about the study as a whole."""
        with self._writing() as base:
            rows = [(name, str(value)) for name, value in facts.items()]
            base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def extend(self, trials: int, baselines: Sequence[str]) -> None:
        """Make sure that there are so many trials; the first ones train memories of these keys."""
        with self._writing() as base:
            rows = [(n, "baseline" if n < len(baselines) else "search") for n in range(trials)]
            base.executemany("INSERT OR IGNORE INTO slots (slot, origin) VALUES (?, ?)", rows)
            base.executemany(
                "INSERT OR IGNORE INTO keys VALUES (?, ?)",
                [(key, slot) for slot, key in enumerate(baselines)],
            )

    def claim(self, owner: str, below: int, lease: float = LEASE) -> Claim | None:
        """The first trial of a number `below` this that nobody works at; None if there is none."""
        now = time.time()
        with self._writing() as base:
            found = base.execute(
                "SELECT slot, token, origin, plan FROM slots WHERE slot < ? AND (state = 'open'"
                " OR (state = 'running' AND lease < ?)) ORDER BY slot LIMIT 1",
                (below, now),
            ).fetchone()
            if found is None:
                return None
            base.execute(
                "UPDATE slots SET state = 'running', owner = ?, token = token + 1, lease = ?"
                " WHERE slot = ?",
                (owner, now + lease, found[0]),
            )
        return Claim(found[0], found[1] + 1, found[2], found[3])

    def _hold(self, base: sqlite3.Connection, slot: int, token: int) -> None:
        mine = base.execute(
            "SELECT 1 FROM slots WHERE slot = ? AND token = ? AND state = 'running'", (slot, token)
        ).fetchone()
        if mine is None:
            raise LeaseLost(f"trial {slot} has been given to another worker")

    def renew(self, slot: int, token: int, lease: float = LEASE) -> None:
        """Hold a trial for another lease. Raises LeaseLost."""
        with self._writing() as base:
            self._hold(base, slot, token)
            until = time.time() + lease
            base.execute("UPDATE slots SET lease = ? WHERE slot = ?", (until, slot))

    def plan(
        self, slot: int, token: int, key: str, plan: str, refused: Sequence[Refused] = ()
    ) -> int | None:
        """Decide what a trial trains; the trial that already has this key if there is one.

        `refused` is what was thought of before and is kept with the decision.
        """
        with self._writing() as base:
            self._hold(base, slot, token)
            base.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (key, slot))
            owner = base.execute("SELECT slot FROM keys WHERE key = ?", (key,)).fetchone()[0]
            if owner != slot:
                return int(owner)
            base.execute("UPDATE slots SET plan = ? WHERE slot = ?", (plan, slot))
            base.executemany("INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", refused)
        return None

    def add_run(
        self, slot: int, token: int, number: int, result: str, lease: float = LEASE
    ) -> None:
        """Keep one run of a trial, so that whoever takes the trial over need not repeat it."""
        self.renew(slot, token, lease)
        with self._writing() as base:
            self._hold(base, slot, token)
            base.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (slot, number, result))

    def finish(self, slot: int, token: int, record: str) -> None:
        """End a trial with its record. Raises LeaseLost."""
        with self._writing() as base:
            self._hold(base, slot, token)
            base.execute(
                "UPDATE slots SET state = 'done', record = ?, owner = '',"
                " place = (SELECT coalesce(max(place) + 1, 0) FROM slots) WHERE slot = ?",
                (record, slot),
            )

    def crashed(self, slot: int, token: int) -> int:
        """Count a training process of a trial that died by itself; how many it were so far."""
        with self._writing() as base:
            self._hold(base, slot, token)
            base.execute("UPDATE slots SET crashes = crashes + 1 WHERE slot = ?", (slot,))
            found = base.execute("SELECT crashes FROM slots WHERE slot = ?", (slot,)).fetchone()
        return int(found[0])

    def release(self, owner: str) -> list[int]:
        """Give back at once all that an owner, or all whose names start so, still holds."""
        with self._writing() as base:
            held = base.execute(
                "SELECT slot FROM slots WHERE state = 'running' AND substr(owner, 1, ?) = ?",
                (len(owner), owner),
            ).fetchall()
            base.executemany(
                "UPDATE slots SET state = 'open', owner = '', token = token + 1 WHERE slot = ?",
                held,
            )
        return [row[0] for row in held]

    def runs(self, slot: int) -> dict[int, str]:
        """The runs of a trial that are finished, by number."""
        found = self.base.execute("SELECT number, result FROM runs WHERE slot = ?", (slot,))
        return dict(found.fetchall())

    def slots(self, since: int = 0) -> list[Slot]:
        """All trials from number `since` on."""
        found = self.base.execute(
            "SELECT slot, origin, state, plan, record FROM slots WHERE slot >= ? ORDER BY slot",
            (since,),
        )
        return [Slot(*row) for row in found]

    def count_refusals(self) -> dict[str, int]:
        """How many derivations each rule refused; `duplicate` is no rule of the grammar."""
        found = self.base.execute("SELECT rule, count(*) FROM refusals GROUP BY rule")
        return dict(found.fetchall())

    def refusals(self, since: int = 0) -> list[Refused]:
        """Derivations that did not become trials, from trial `since` on, in order of attempts."""
        found = self.base.execute(
            "SELECT slot, attempt, rule, sentence, choices FROM refusals WHERE slot >= ?"
            " ORDER BY slot, attempt",
            (since,),
        )
        return [Refused(*row) for row in found]

    def untold(self) -> list[Slot]:
        """Finished trials that are in no other file yet, in the order in which they ended."""
        found = self.base.execute(
            "SELECT slot, origin, state, plan, record FROM slots WHERE state = 'done' AND told = 0"
            " ORDER BY place"
        )
        return [Slot(*row) for row in found]

    def tell(self, slot: int) -> None:
        """Note that a finished trial is in the other files too."""
        with self._writing() as base:
            base.execute("UPDATE slots SET told = 1 WHERE slot = ?", (slot,))

    def running(self) -> list[tuple[int, str | None]]:
        """Number and plan of the trials that somebody works at."""
        found = self.base.execute("SELECT slot, plan FROM slots WHERE state = 'running'")
        return [(row[0], row[1]) for row in found]

    def states(self, below: int) -> Mapping[str, int]:
        """How many of the trials of a number `below` this are open, running and done."""
        counted = self.base.execute(
            "SELECT state, count(*) FROM slots WHERE slot < ? GROUP BY state", (below,)
        ).fetchall()
        return {"open": 0, "running": 0, "done": 0} | dict(counted)


def here() -> str:
    """The beginning of the names of all owners on this machine."""
    return f"{socket.gethostname()}/"


def owner(process: int | None = None) -> str:
    """The name under which a process of this machine, by default this one, holds trials."""
    return f"{here()}{process or os.getpid()}."
