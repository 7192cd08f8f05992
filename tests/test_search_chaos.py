"""Studies in which processes and servers are killed at random: nothing is lost or done twice."""

import re
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from postgres_cases import needs_postgres

from miras.benchmarks.postgres import postgres
from miras.benchmarks.storm import MACHINES, sitting, study_of
from miras.lines import read
from miras.result import TrialRecord
from miras.search.ledger.ledger import Ledger

pytestmark = pytest.mark.slow


def check(folder: Path, kind: str, kills: int, slots: int) -> None:
    """A storm in a process of its own, whose threads and signals are not those of the tests."""
    numbers = ("--kills", kills, "--slots", slots, "--lease", 4, "--folder", folder)
    command = ("-m", "miras.benchmarks.chaos", "--storage", kind, *map(str, numbers))
    done = subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, timeout=1200
    )
    counted = done.stdout.splitlines()[-1]
    assert counted.startswith(f"{kind} {kills} kills in "), done.stdout + done.stderr
    assert "finished lost 0, told twice 0, equal keys 0" in counted, counted
    assert f"done {slots}, left RUNNING 0" in counted, counted
    stall, slow = (float(each) for each in re.findall(r"(?:stall|up to) ([0-9.]+) s", counted))
    assert stall <= 4 + 1 * slow, counted  # a lease, and a second of work


def test_forty_kills_on_sqlite(tmp_path: Path) -> None:
    check(tmp_path, "sqlite", kills=40, slots=200)


@needs_postgres
def test_kills_on_postgresql_the_server_too(tmp_path: Path) -> None:
    check(tmp_path, "postgresql", kills=10, slots=30)


@needs_postgres
def test_two_parents_on_one_server(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Four workers of two parents: one joins late and one leaves, and each trial is done once."""
    slots = 120  # enough for the second to come in time on a busy machine
    study = study_of(slots, workers=2, seed=0, pace=0.5)

    def take_part(name: str) -> BaseProcess:
        place = (str(tmp_path / name), server.url, server.url, 3.0, 2)
        first = name == "first"
        parent = MACHINES.Process(target=sitting, args=(study, first, *place))
        parent.start()
        request.addfinalizer(parent.kill)
        return parent

    def until(count: int) -> None:
        while ledger.states(slots)["done"] < count:
            assert any(each.is_alive() for each in parents)
            time.sleep(0.05)

    MACHINES.set_forkserver_preload(["miras.benchmarks.storm"])
    with postgres() as server, Ledger(server.url, study.name) as ledger:
        parents = [take_part("first")]
        until(5)
        parents.append(take_part("late"))
        owners: set[str] = set()
        while len(owners) < 2:
            assert ledger.states(slots)["done"] < slots, "it came too late"
            owners |= {owner.partition("/")[0] for _, owner, _ in ledger.held()}
        parents[0].terminate()  # the one that has started the study leaves
        parents[0].join()
        parents[1].join()
        assert parents[1].exitcode == 0
        done = {"open": 0, "running": 0, "waiting": 0, "done": slots}
        assert ledger.states(slots) == done and not ledger.untold()
        assert sorted(slot for _, slot in ledger.ended()) == list(range(slots))
    records = read(tmp_path / "late" / "trials.jsonl", TrialRecord)
    assert sorted(record.number for record in records) == list(range(slots))
    assert len({record.key for record in records}) == slots
