"""The data base of a ledger: its tables, its transactions, and what is done on its bad days.

SQLite in a file for one machine, PostgreSQL for many. Every table has a column `study`, so that one
data base holds several. A data base that is gone for a while, locked or full is waited for: whoever
asked gets the answer later, and a sentence says what was waited for.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    func,
    inspect,
    literal,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError

from miras.part import SpecError

RETRY = 0.5
"""Seconds between two attempts to reach a data base that does not answer."""

BUSY = 10.0
"""Seconds that a transaction waits for a lock before it is tried anew."""

PATIENCE = (
    *("locked", "disk is full", "disk I/O error"),  # SQLite
    *("could not", "connection", "starting up", "shutting down", "lock timeout", "deadlock"),
    *("recovery", "terminating", "No space left", "server closed", "the database system"),
)
"""Words in errors that pass by themselves, or when a person makes room; all others are raised."""

BASE = MetaData()


def _table(name: str, *columns: Column[Any], checks: tuple[CheckConstraint, ...] = ()) -> Table:
    # a name of its own: Optuna may keep its tables in the same data base
    study = Column("study", Text, primary_key=True)
    return Table(f"miras_{name}", BASE, study, *columns, *checks)


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **options)


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default="0")


def _part_of_key(name: str) -> Column[Any]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


STUDIES = _table(
    "studies",
    _text("writer", server_default=""),
    _count("token"),
    Column("lease", Double, nullable=False, server_default="0"),
)
"""A row per study: locked by whoever ends a trial; who writes Optuna's storage, and until when."""

FACTS = _table("facts", Column("name", Text, primary_key=True), _text("value"))

SLOTS = _table(
    "slots",
    _part_of_key("slot"),
    _text("origin"),
    _text("state", server_default="open"),
    _count("rung"),
    _text("owner", server_default=""),
    _count("token"),
    Column("lease", Double, nullable=False, server_default="0"),
    _count("crashes"),
    _count("told"),
    Column("place", Integer),
    Column("plan", Text),
    checks=(CheckConstraint("state IN ('open', 'running', 'waiting', 'done')"),),
)

RECORDS = _table("records", _part_of_key("slot"), _part_of_key("rung"), _text("record"))

KEYS = _table(
    "keys", Column("key", Text, primary_key=True), Column("slot", Integer, nullable=False)
)

RUNS = _table("runs", _part_of_key("slot"), _part_of_key("number"), _text("result"))

REFUSALS = _table(
    "refusals",
    _part_of_key("slot"),
    _part_of_key("attempt"),
    *(_text(name) for name in ("rule", "sentence", "choices")),
)

Answer = TypeVar("Answer")


def _say(text: str) -> None:
    with suppress(OSError):  # the disk of a log may be full too
        print(text, flush=True)


class Storage:
    """A connection to a data base; each thread and process needs its own."""

    def __init__(self, place: Path | str, pause: Callable[[float], object] | None = None) -> None:
        self.url = url_of(place)
        self.file = self.url.database if self.url.get_backend_name() == "sqlite" else None
        self.say: Callable[[str], None] = _say
        self.pause = pause or time.sleep
        self.patient = pause is not None  # who has just given an address wants to know if it is bad
        try:
            self.engine = create_engine(self.url, connect_args=_options(self.url))
        except ImportError:
            raise SpecError(
                "PostgreSQL needs a driver: pip install 'miras-search[postgres]'"
            ) from None
        if self.file is not None:
            event.listen(self.engine, "connect", _settle)
        try:
            self.write(self._prepare)
        except DatabaseError as error:
            self.engine.dispose()
            raise SpecError(self._hopeless(error)) from error
        self.patient = True

    def _prepare(self, connection: Connection) -> None:
        there = set(inspect(connection).get_table_names())
        if "slots" in there and SLOTS.name not in there:
            raise SpecError(
                f"{self.url.database} was written by an earlier version of miras: go on with that"
                " version, or start anew in another folder"
            )
        if not {table.name for table in BASE.sorted_tables} <= there:
            if self.file is None:  # two that come first would both create
                connection.execute(func.pg_advisory_xact_lock(0x6D697261).select())
            BASE.create_all(connection)

    def _hopeless(self, error: DatabaseError) -> str:
        cause = str(error.orig).strip().splitlines()[0]
        if self.file is None:
            return f"{self.url.render_as_string()} does not answer: {cause}; check the address"
        return (
            f"{self.file} cannot be used as a ledger: {cause}. If the disk is sound, move its"
            " folder away and begin anew; trials.jsonl in it holds all that was finished"
        )

    def read(self, body: Callable[[Connection], Answer]) -> Answer:
        """What a function finds in the data base."""
        return self._insist(body, begin=False)

    def write(self, body: Callable[[Connection], Answer]) -> Answer:
        """What a function finds and writes in one transaction; it may be called again."""
        return self._insist(body, begin=True)

    def _insist(self, body: Callable[[Connection], Answer], begin: bool) -> Answer:
        waited = False
        while True:
            try:
                with self.engine.begin() as connection:
                    if begin and self.file is not None:
                        # holds the lock from the start: none is lost between reading and writing
                        connection.exec_driver_sql("BEGIN IMMEDIATE")
                    answer = body(connection)
            except DBAPIError as error:
                cause = str(error.orig).strip()
                passes = error.connection_invalidated or any(word in cause for word in PATIENCE)
                if not self.patient or not passes:
                    raise
                if self.file is not None and not Path(self.file).exists():
                    gone = f"{self.file} is gone: whoever removed it ended the study"
                    raise SpecError(gone) from error
                if not waited:
                    self.say(f"the ledger does not answer ({cause.splitlines()[0]}): waiting")
                waited = True
                self.pause(RETRY)
            else:
                if waited:
                    self.say("the ledger answers again: going on")
                return answer

    def clock(self) -> ColumnElement[Any]:
        """Seconds since 1970 by the one clock that all who use this data base share."""
        if self.file is not None:
            return literal(time.time())
        return func.extract("epoch", func.clock_timestamp())

    def insert(self, table: Table) -> Any:
        """An INSERT that may say what to do where a row is there already."""
        return (postgresql if self.file is None else sqlite).insert(table)

    def close(self) -> None:
        """Leave the data base."""
        self.engine.dispose()


def url_of(place: Path | str) -> URL:
    """The address of a data base: of a file if it is a path. Raises SpecError."""
    text = place if isinstance(place, str) else f"sqlite:///{place}"
    try:
        url = make_url(text)
    except ArgumentError:
        raise SpecError(f"{text!r} is no address of a data base: {_ADDRESSES}") from None
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not url.database:
        raise SpecError(f"studies cannot be kept in {url.render_as_string()}: {_ADDRESSES}")
    return url


_ADDRESSES = "write postgresql://user@machine/name, or sqlite:///path/of/file.db on one machine"


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": BUSY}
    # a machine that is gone in the middle of a transaction must not keep its locks
    limits = {"lock_timeout": BUSY, "idle_in_transaction_session_timeout": 60.0}
    options = " ".join(f"-c {name}={1000 * value:.0f}" for name, value in limits.items())
    return {"connect_timeout": 10, "options": options, "keepalives_idle": 30}


def _settle(connection: Any, _: object) -> None:
    connection.isolation_level = None  # no transaction that we did not begin
    # WAL: readers never wait for the writer. FULL: what is finished survives a power cut.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
