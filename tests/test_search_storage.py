"""The ledger on both kinds of data base: rungs, lag, bad days, and who writes Optuna's storage."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres_cases import needs_postgres
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from miras.benchmarks.postgres import Server, postgres
from miras.part import SpecError
from miras.search.ledger.ledger import Claim, Decisions, LeaseLost, Ledger
from miras.search.ledger.reading import Refused, Slot
from miras.search.ledger.telling import Lead, Lost


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a data base."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return request.getfixturevalue("server").url


@pytest.fixture
def ledger(place: str, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A new study of 12 trials, the first of them a known memory."""
    with Ledger(place, request.node.name) as found:
        found.begin(found.study, study="{}")
        found.extend(12, ["known"])
        yield found


def another(ledger: Ledger) -> Ledger:
    """As another process would see it."""
    return Ledger(ledger.storage.url.render_as_string(hide_password=False), ledger.study)


def claimed(ledger: Ledger, lag: int = 0) -> Claim:
    found = ledger.claim("a/1.", below=12, lag=lag)
    assert found is not None
    return found


def test_studies_of_one_data_base_do_not_meet(ledger: Ledger, place: str) -> None:
    first = claimed(ledger)
    with Ledger(place, f"{ledger.study} too") as other:
        other.begin(other.study, study="other")
        other.extend(3, ["known"])
        assert claimed(other).slot == 0
        assert other.plan(0, 1, "known", "{}") is None
        assert other.fact("study") == "other" and ledger.fact("study") == "{}"
        other.finish(0, 1, "its record")
        assert ledger.states(12) == {"open": 11, "running": 1, "waiting": 0, "done": 0}
        assert set(ledger.names()) >= {ledger.study, other.study}
    ledger.finish(first.slot, first.token, "our record")
    assert [ledger.record(slot) for slot in ledger.untold()] == ["our record"]
    with pytest.raises(SpecError, match="several studies: name one of"):
        Ledger(place)


def test_rungs_are_judged_in_the_transaction_that_completes_them(ledger: Ledger) -> None:
    """A cohort of four: the better half of it goes on, whoever completes it."""
    asked: list[int] = []

    def decide(rows: Sequence[Slot]) -> Decisions:
        cohort = [row for row in rows[:4] if row.rung == 0 and row.state == "waiting"]
        asked.append(len(cohort))
        if len(cohort) < 4:
            return {}
        order = sorted(cohort, key=lambda row: row.record or "")
        return {row.slot: "promoted" if i < 2 else "stopped" for i, row in enumerate(order)}

    ledger.decide = decide
    claims = [claimed(ledger) for _ in range(4)]
    for claim, score in zip(claims, "badc", strict=True):
        ledger.finish_rung(claim.slot, claim.token, score)
    assert asked == [1, 2, 3, 4]
    assert ledger.states(4) == {"open": 2, "running": 0, "waiting": 0, "done": 2}
    assert ledger.ended() == [(0, 2), (1, 3)] or ledger.ended() == [(0, 3), (1, 2)]
    again = [claimed(ledger) for _ in range(3)]
    assert [(each.slot, each.rung) for each in again] == [(0, 1), (1, 1), (4, 0)]
    with pytest.raises(LeaseLost):
        ledger.finish_rung(0, claims[0].token, "too late")
    ledger.finish(0, again[0].token, "final")
    with another(ledger) as reader:
        row = reader.slots()[0]
        assert (row.state, row.record, row.rung, row.passed) == ("done", "final", 1, ("b",))
        row = reader.slots()[1]
        assert (row.state, row.record, row.rung, row.passed) == ("running", "a", 1, ())


def test_a_record_that_was_rolled_back_was_never_there(ledger: Ledger) -> None:
    """A connection breaks while a rung ends; then another worker ends it, with another record."""
    seen: list[str | None] = []

    def decide(rows: Sequence[Slot]) -> Decisions:
        seen.append(rows[0].record)
        if len(seen) == 1:
            raise ConnectionError("broken in the middle")
        return {}

    claim = claimed(ledger)
    ledger.decide = decide
    with pytest.raises(ConnectionError):
        ledger.finish_rung(claim.slot, claim.token, "ours")
    assert ledger.slots()[0].record is None
    with another(ledger) as other:
        assert other.release("a/") == [claim.slot]
        taken = other.claim("b/1.", below=12)
        assert taken is not None
        other.finish_rung(taken.slot, taken.token, "theirs")
    ledger.judge()
    assert seen == ["ours", "theirs"] and ledger.slots()[0].record == "theirs"


def test_lag_waits_for_what_came_long_before(ledger: Ledger) -> None:
    first = claimed(ledger, lag=2)
    assert ledger.claim("a/2.", below=12, lag=2) is None  # the first one takes a memory, but which?
    ledger.plan(first.slot, first.token, "key 0", "{}")
    second = claimed(ledger, lag=2)
    ledger.plan(second.slot, second.token, "key 1", "{}")
    assert ledger.claim("a/2.", below=12, lag=2) is None
    ledger.finish(second.slot, second.token, "{}")
    assert ledger.claim("a/2.", below=12, lag=2) is None
    ledger.finish(first.slot, first.token, "{}")
    assert claimed(ledger, lag=2).slot == 2


def test_silent_workers_come_first(ledger: Ledger) -> None:
    claims = [claimed(ledger) for _ in range(3)]
    ledger.renew(claims[1].slot, claims[1].token, lease=-1.0)
    taken = ledger.claim("b/1.", below=12)
    assert taken is not None and (taken.slot, taken.token) == (1, 2)
    assert ledger.release("a/") == [0, 2]
    ledger.give_back(1, 2)
    assert ledger.states(12)["open"] == 12


def test_what_was_read_once_is_kept_and_what_is_new_is_seen(ledger: Ledger) -> None:
    with another(ledger) as reader:
        assert [row.plan for row in reader.slots()] == [None] * 12
        for number in range(3):
            claim = claimed(ledger)
            refused = [Refused(claim.slot, each, "T1", "no", "{}") for each in range(number)]
            assert ledger.plan(claim.slot, claim.token, f"key {number}", "plan", refused) is None
            assert len(reader.refusals()) == (0, 1, 3)[number]
            assert reader.slots()[number][2:5] == ("running", "plan", None)
            ledger.finish(claim.slot, claim.token, f"record {number}")
            assert reader.slots()[number][2:5] == ("done", "plan", f"record {number}")
        assert [row.slot for row in reader.slots(since=10)] == [10, 11]
        assert [each[:2] for each in reader.refusals(since=2)] == [(2, 0), (2, 1)]
        assert reader.count_refusals() == {"T1": 3}


def test_one_writes_and_another_takes_over(ledger: Ledger) -> None:
    with another(ledger) as other:
        ledger.lease = other.lease = 0.4
        one, two = Lead(ledger, "one"), Lead(other, "two")
        assert one.take() and not two.take()
        claim = claimed(ledger)
        ledger.finish(claim.slot, claim.token, "{}")
        began = time.monotonic()
        two.due = 0.0
        while not two.take():
            two.due = 0.0
            assert time.monotonic() - began < 5.0
        assert time.monotonic() - began < 0.4 + 1.0
        written: list[str] = []
        with pytest.raises(Lost):
            one.tell(claim.slot, lambda: written.append("by one"))
        two.tell(claim.slot, lambda: written.append("by two"))
        assert written == ["by two"] and not ledger.untold()
        two.compare(set())  # the storage was lost
        assert ledger.untold() == [claim.slot]
        two.give()
        one.due = 0.0
        assert one.take()


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miras.search.ledger.storage.BUSY", 0.05)
    path = tmp_path / "ledger.db"
    said: list[str] = []
    with Ledger(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        ledger.storage.say = said.append
        ledger.storage.pause = lambda seconds: base.execute("ROLLBACK") and None
        ledger.begin("test", study="{}")
        assert ledger.fact("study") == "{}"
    assert "database is locked" in said[0] and said[1] == "the ledger answers again: going on"


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with Ledger(tmp_path / "ledger.db", "test") as ledger:
        ledger.begin("test", study="{}")
        ledger.extend(2, [])
        claim = ledger.claim("a/1.", below=2)
        assert claim is not None

        def pages(most: int) -> None:
            with ledger.storage.engine.connect() as base:
                base.execute(text(f"PRAGMA max_page_count = {most}"))

        pages(1)  # no more than there are: the next one raises what a full disk raises
        ledger.storage.say = said.append
        ledger.storage.pause = lambda seconds: pages(10**6)
        ledger.finish(claim.slot, claim.token, "x" * 100_000)
        assert len(ledger.record(0)) == 100_000
    assert "disk is full" in said[0] and "going on" in said[1]


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    old, torn = tmp_path / "old.db", tmp_path / "torn.db"
    with closing(sqlite3.connect(old)) as base:
        base.execute("CREATE TABLE slots (slot INTEGER PRIMARY KEY)")
    with pytest.raises(SpecError, match=r"old.db was written by an earlier version of miras"):
        Ledger(old)
    torn.write_bytes(b"no data base at all" * 1000)
    with pytest.raises(SpecError, match="cannot be used as a ledger: file is not a database"):
        Ledger(torn)
    with pytest.raises(SpecError, match="studies cannot be kept in mysql"):
        Ledger("mysql://machine/name")
    with pytest.raises(SpecError, match=r"write postgresql://user@machine/name"):
        Ledger("machine:name")


def test_crashes_count_until_there_is_a_result(ledger: Ledger) -> None:
    claim = claimed(ledger)
    assert [ledger.crashed(claim.slot, claim.token) for _ in range(2)] == [1, 2]
    ledger.add_run(claim.slot, claim.token, 0, "{}")
    assert ledger.crashed(claim.slot, claim.token) == 1


def test_a_connection_that_broke_is_made_again(ledger: Ledger) -> None:
    """Whatever its library says, such as `SSL error: unexpected eof while reading`."""
    said: list[str] = []
    ledger.storage.say = said.append

    def body(base: Any) -> int:
        if not said:
            cause = Exception("unexpected eof while reading")
            raise DBAPIError("SELECT", {}, cause, connection_invalidated=True)
        return 7

    assert ledger.storage.read(body) == 7 and len(said) == 2
    with pytest.raises(DBAPIError):
        ledger.storage.read(broken)


def broken(base: Any) -> None:
    raise DBAPIError("SELECT", {}, Exception("syntax error"))


@needs_postgres
def test_a_server_that_is_killed_is_waited_for() -> None:
    said: list[str] = []
    with postgres() as server:
        with Ledger(server.url, "test") as ledger:
            ledger.begin("test", study="{}")
            ledger.extend(4, [])
            claim = claimed(ledger)
            ledger.storage.say = said.append
            server.kill()
            back = threading.Timer(1.0, server.start)
            back.start()
            ledger.finish(claim.slot, claim.token, "its record")
            back.join()
            assert ledger.record(0) == "its record" and ledger.states(4)["done"] == 1
        assert said[-1] == "the ledger answers again: going on" and len(said) == 2
    with pytest.raises(SpecError, match="does not answer"):
        Ledger(server.url, "test")
