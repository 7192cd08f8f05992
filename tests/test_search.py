"""Studies from end to end, with trainings that take no time, and what survives a kill."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from miras.lines import read
from miras.load import load
from miras.model import ModelFile
from miras.part import SpecError
from miras.result import TrialRecord
from miras.search import Study, load_study, run, status
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.projection import winner
from miras.search.ledger.telling import opened

SPACE = {
    "architecture": {"kind": "matrix", "features": {"any": ["silu_l2", "elu1", "identity"]}},
    # of the numbers p some are refused
    "bias": {"any": ["all", {"kind": "lp", "p": {"float": [1.0, 3.0]}, "guard": False}]},
    "retention": {"any": ["none", {"kind": "decay", "gate": {"any": ["mamba", "low_rank"]}}, "lq"]},
    "optimizer": {"kind": "gd", "gradient_at": {"any": ["retained", "previous"]}},
}

WRITTEN: dict[str, Any] = {
    "space": SPACE,
    "tasks": ["mqar", "parity"],
    "baselines": ["deltanet", "gated-deltanet"],
    "nulls": 0,
    "budget": {"trials": 14},
    "sampler": {"kind": "portfolio", "startup": 4, "random": 0.25},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({**WRITTEN, **changes}))
    return path


def records(folder: Path) -> list[TrialRecord]:
    return read(folder / "trials.jsonl", TrialRecord)


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="test", storage=opened("journal", folder)).trials


def check_whole(folder: Path, trials: int) -> list[TrialRecord]:
    """Every trial is done and in every file, exactly once, and no two memories are equal."""
    found = records(folder)
    assert sorted(record.number for record in found) == list(range(trials))
    assert sorted(trial.user_attrs["trial"] for trial in stored(folder)) == list(range(trials))
    assert {trial.state.name for trial in stored(folder)} <= {"COMPLETE", "PRUNED"}
    keys = [record.key for record in found if record.key]
    assert len(keys) == len(set(keys))
    with Ledger(folder / "ledger.db") as ledger:
        assert ledger.states(trials) == {"open": 0, "running": 0, "waiting": 0, "done": trials}
        assert not ledger.untold()
    return sorted(found, key=lambda record: record.number)


def test_study_with_two_workers(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, learning_rate=[1e-3, 1e-2], seeds=[0, 1]))
    run(study, tmp_path, "search_fake:trivial")
    found = check_whole(tmp_path, 14)
    assert [record.name for record in found[:2]] == ["deltanet", "gated-deltanet"]
    origins = [record.origin for record in found]
    assert origins[:2] == ["baseline"] * 2 and set(origins[2:]) == {"search", "random"}
    for record in found:
        assert record.status == "ok" and record.learning_rate == 1e-2
        assert set(record.objectives) == {"recall", "tracking"}
        assert len(record.results) == 2 * 2 * 2  # rates, tasks, seeds
        assert bool(record.choices) == (record.origin != "baseline")
        assert record.memory["architecture"]
    assert [record.equals for record in found[:2]] == [("deltanet",), ("gated-deltanet",)]

    for trial in stored(tmp_path):
        record = found[trial.user_attrs["trial"]]
        assert trial.params == record.choices
        scores = [results_mean(record, task) for task in ("mqar", "parity")]
        assert trial.values == pytest.approx(scores)

    manifest = json.loads((tmp_path / "study.json").read_text())
    assert manifest["trials"] == {"ok": 14} and manifest["finished"] >= manifest["started"]
    # What does not fit is known before it is drawn, but for numbers that a sampler insists on.
    assert manifest["refused"].keys() <= {"T15"}
    assert manifest["objectives"] == ["recall", "tracking"]

    best = winner(study, found, study.measures)
    assert best is not None
    file = load(tmp_path / "best.yaml", ModelFile)
    assert file.learning_rate == 1e-2 and file.model.dim == study.shell.dim
    assert file.model.pattern[0].name == best.name
    for name in ("recall", "tracking"):
        assert load(tmp_path / "best" / f"{name}.yaml", ModelFile).model.pattern

    # Once more: nothing is left to do, and nothing is done.
    before = (tmp_path / "trials.jsonl").read_bytes()
    run(study, tmp_path, "search_fake:violent")
    assert (tmp_path / "trials.jsonl").read_bytes() == before
    assert "14 of 14 trials done (14 ok)" in str(status(tmp_path))

    # A larger budget goes on; another space does not.
    longer = study.of_trials(16)
    run(longer, tmp_path, "search_fake:trivial")
    check_whole(tmp_path, 16)
    with pytest.raises(SpecError, match="a study with another space, seed: go on"):
        run(longer.model_copy(update={"space": {"use": "gla"}, "seed": 1}), tmp_path)


def results_mean(record: TrialRecord, task: str) -> float:
    """Mean validation score on a task at the rate of the record."""
    here = [
        result.validation or 0.0
        for result in record.results
        if result.task == task and result.learning_rate == record.learning_rate
    ]
    return sum(here) / len(here)


def test_outcomes_are_pruned_with_a_constraint_that_names_them(tmp_path: Path) -> None:
    # by chance alone: which memories come does not depend on which worker was faster
    limits = {"seconds": 2.0, "grace": 1.0}
    changes = {"budget": {"trials": 40}, "limits": limits, "sampler": "random"}
    study = load_study(written(tmp_path, **changes))
    run(study, tmp_path, "search_fake:moody")
    found = check_whole(tmp_path, 40)
    expected = {"dot": "diverged", "l1": "invalid", "huber": "out_of_memory", "lp": "error"}
    seen: set[str] = set()
    for record in found:
        bias = record.memory.get("bias", {"kind": "l2"})["kind"]
        assert record.status == expected.get(bias, "ok")
        seen.add(record.status)
    assert seen == {"ok", *expected.values()}
    error = next(record for record in found if record.status == "error")
    assert "ZeroDivisionError: a bug in a part" in error.reason and "search_fake" in error.reason
    for trial in stored(tmp_path):
        record = found[trial.user_attrs["trial"]]
        if record.status == "ok":
            assert trial.state.name == "COMPLETE" and not trial.constraints
        else:
            assert trial.state.name == "PRUNED" and trial.constraints == {record.status: 1.0}
            assert not record.objectives


def test_a_training_that_dies_or_hangs_is_an_outcome(tmp_path: Path) -> None:
    space = {"use": "deltanet", "bias": {"any": ["dot", "l1", {"kind": "lp", "p": 3}]}}
    changes = {"space": space, "budget": {"trials": 5}, "limits": {"seconds": 0.25, "grace": 1.0}}
    study = load_study(written(tmp_path, **changes))
    run(study, tmp_path, "search_fake:violent")
    found = check_whole(tmp_path, 5)
    by_bias = {record.memory.get("bias", {"kind": "l2"})["kind"]: record for record in found[1:]}
    assert by_bias["dot"].status == "error" and "exit code -11, 3 times" in by_bias["dot"].reason
    assert by_bias["l1"].status == "timed_out" and "killed after 2 s" in by_bias["l1"].reason
    assert by_bias["lp"].status == by_bias["l2"].status == "ok"


def test_a_space_that_is_used_up_says_so(tmp_path: Path) -> None:
    space = {"use": "gated-deltanet", "bias": {"any": ["l2", "dot", "l1"]}}
    study = load_study(written(tmp_path, space=space, budget={"trials": 6}, workers=1))
    run(study, tmp_path, "search_fake:trivial")
    found = check_whole(tmp_path, 6)
    assert [record.status for record in found] == ["ok"] * 4 + ["invalid"] * 2
    assert "the space has no more of them" in found[-1].reason


def test_time_budget(tmp_path: Path) -> None:
    budget = {"trials": 14, "seconds": 1e-3}
    study = load_study(written(tmp_path, budget=budget))
    assert run(study, tmp_path, "search_fake:trivial").states["done"] == 0
    longer = study.model_copy(update={"budget": study.budget.model_copy(update={"seconds": 1e6})})
    run(longer, tmp_path, "search_fake:trivial")
    check_whole(tmp_path, 14)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Searches that end with the test, whatever became of it."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for search in found:
        if search.poll() is None:
            search.kill()
        search.wait()


def start(
    study: Path, folder: Path, started: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """A search in a process group of its own."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here.parent}{os.pathsep}{here}"}
    command = [sys.executable, str(here / "search_fake.py"), str(study), str(folder)]
    command.append("search_fake:slow")
    started.append(subprocess.Popen(command, env=environment, start_new_session=True))
    return started[-1]


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def done(folder: Path) -> int:
    return len(records(folder))


def owners(folder: Path) -> list[int]:
    """Process ids of the workers that hold a trial."""
    with closing(sqlite3.connect(folder / "ledger.db")) as base:
        rows = base.execute("SELECT owner FROM miras_slots WHERE state = 'running'").fetchall()
    return [int(row[0].rpartition("/")[2].rstrip(".")) for row in rows]


def alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_nothing_is_lost_or_done_twice_after_a_kill(
    tmp_path: Path, victim: str, started: list[subprocess.Popen[bytes]]
) -> None:
    folder, log = tmp_path / "run", tmp_path / "runs.txt"
    study = written(tmp_path, description=str(log), budget={"trials": 10})
    search = start(study, folder, started)
    until(lambda: done(folder) >= 3 and bool(owners(folder)))
    workers = owners(folder)
    before = {record.number: record for record in records(folder)}
    if victim == "worker":
        os.kill(workers[0], signal.SIGKILL)
    else:
        search.kill()
        search.wait()
        until(lambda: not any(map(alive, workers)), seconds=30)
        search = start(study, folder, started)
    assert search.wait(timeout=120) == 0
    found = check_whole(folder, 10)
    for number, record in before.items():
        assert found[number] == record
    # At most what was running at the kill ran again: one run of each worker.
    counted = Counter(tuple(line.split()[:2]) for line in log.read_text().splitlines())
    assert len(counted) == 10 * 2 and sum(counted.values()) <= 10 * 2 + 2


@pytest.mark.slow
def test_interrupt_ends_in_order(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    folder, log = tmp_path / "run", tmp_path / "runs.txt"
    study = written(tmp_path, description=str(log), budget={"trials": 30})
    search = start(study, folder, started)
    until(lambda: done(folder) >= 2 and bool(owners(folder)))
    with pytest.raises(SpecError, match="another search is running"):
        run(Study.model_validate(load_study(study)), folder)
    workers = owners(folder)
    os.killpg(search.pid, signal.SIGINT)  # as a terminal does
    search.wait(timeout=30)
    assert not any(map(alive, workers)) and not owners(folder)
    assert done(folder) >= 2
    with Ledger(folder / "ledger.db") as ledger:
        assert not ledger.untold()
