"""A worker: it keeps its trial while it plans, and what is not the fault of a run is none."""

import json
import os
import shutil
import signal
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from search_conduct import study
from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingTypeStubs]

from miras.known import known
from miras.part import SpecError
from miras.search import run
from miras.search.engine import enter
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import LEDGER, Place, Site, alone
from miras.search.space.derive import Candidate
from miras.search.trial import isolation, measuring
from miras.search.workers.parent import Parent, Terms
from miras.search.workers.worker import Worker


def test_a_trial_is_kept_while_it_is_planned(tmp_path: Path) -> None:
    found = study(tmp_path)
    path = tmp_path / LEDGER
    with Ledger(path, lease=0.4) as ledger:
        enter(found, ledger, tmp_path)
        site = Site(Place(tmp_path, "here"), f"sqlite:///{path}", ledger.study, "", 0.4)
        worker = Worker(found, ledger, site)
        claim = ledger.claim("here/1.", below=4)
        assert claim is not None
        with worker.holding(claim):
            time.sleep(1.2)  # three leases
            with Ledger(path) as other:
                taken = other.claim("there/1.", below=4)
            assert taken is not None and taken.slot != claim.slot
        ledger.renew(claim.slot, claim.token)


def settled(log: Path, pipe: Connection) -> None:
    """Say how many threads each library of a worker has."""
    isolation.settle(log)
    pipe.send({library["filepath"]: library["num_threads"] for library in threadpool_info()})


def test_a_worker_computes_with_one_thread_in_every_library(tmp_path: Path) -> None:
    ours, theirs = Pipe(duplex=False)
    worker = isolation.WORKERS.Process(target=settled, args=(tmp_path / "log.txt", theirs))
    worker.start()
    theirs.close()
    found = ours.recv()
    worker.join()
    assert any("scipy.libs" in path for path in found)
    assert set(found.values()) == {1}


def test_a_result_that_is_there_counts_however_late_it_is_seen() -> None:
    """All processes were stopped for longer than the limit; then the worker looks."""
    ours, theirs = Pipe(duplex=False)
    theirs.send("a result")
    theirs.send(None)
    time.sleep(0.01)
    assert list(isolation.listened(ours, 1e-12, lambda: None, 1.0)) == ["a result"]
    with pytest.raises(isolation.Silent):
        list(isolation.listened(ours, 1e-12, lambda: None, 1.0))


def test_a_part_that_fails_while_it_is_matched_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> measuring.Count:
        raise KeyError("a bug in a part")

    monkeypatch.setattr(measuring, "_count", fail)
    memory = known()["deltanet"].model_copy(update={"name": "unlike any other"})
    with pytest.raises(SpecError, match="a bug in a part"):
        measuring.measure(memory, study(tmp_path).shell, 8)


def test_a_copy_of_a_folder_is_another_one(tmp_path: Path) -> None:
    """Neither waits for the other, takes its name or gives back what its workers hold."""
    one, two = tmp_path / "one", tmp_path / "two"
    with Ledger(tmp_path / LEDGER, "test") as ledger:
        ledger.begin("test", study="{}")
        ledger.extend(2, [])
        with alone(one) as first:
            shutil.copytree(one, two)
            assert ledger.claim(f"{first.name}/1.", below=2) is not None
            with alone(two) as second:
                assert second.name != first.name
                assert ledger.release(f"{second.name}/") == []
        assert ledger.release(f"{first.name}/") == [0]
    for folder, name in ((one, first.name), (two, second.name)):
        with alone(folder) as again:
            assert again.name == name
    with alone(one.rename(tmp_path / "moved")) as moved:
        assert moved.name == first.name


def test_a_candidate_whose_sizes_kill_is_refused_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler hears of it, and the worker goes on."""
    count = measuring._count

    def kill(candidate: Candidate, *rest: Any) -> measuring.Count:
        if candidate.name != "deltanet" and '"decay"' in str(candidate.model_dump_json()):
            os.kill(os.getpid(), signal.SIGKILL)
        return count(candidate, *rest)

    monkeypatch.setattr(measuring, "_count", kill)
    space = {
        "use": "deltanet",
        "bias": {"any": ["l2", "l1", "huber"]},
        "retention": {"any": ["none", "decay"]},
    }
    found = study(tmp_path, space=space, budget={"trials": 3}, match={"like": "deltanet"})
    path = tmp_path / LEDGER
    with Ledger(path) as ledger:
        enter(found, ledger, tmp_path)
        site = Site(Place(tmp_path, "x"), f"sqlite:///{path}", "", "search_fake:trivial", 60.0)
        worker = Worker(found, ledger, site)
        while worker.step():
            pass
        plans = [slot.plan or "" for slot in ledger.slots()[1:]]
        assert all(plans) and not any('"decay"' in plan for plan in plans)
        (said,) = {each.sentence for each in ledger.refusals() if each.rule == "match"}
        assert "died of signal 9, 3 times" in said


def test_a_folder_of_another_study_is_not_written(tmp_path: Path) -> None:
    found = study(tmp_path, budget={"trials": 2})
    run(found, tmp_path / "run", "search_fake:trivial")
    before = (tmp_path / "run" / "trials.jsonl").read_bytes()
    for each in (tmp_path / "run").glob(f"{LEDGER}*"):
        each.unlink()
    time.sleep(1.1)
    with pytest.raises(SpecError, match="holds the files of another study of that name"):
        run(found, tmp_path / "run", "search_fake:trivial")
    assert (tmp_path / "run" / "trials.jsonl").read_bytes() == before


def test_a_sitting_that_ends_early_does_not_finish_a_study(tmp_path: Path) -> None:
    found = study(tmp_path, budget={"trials": 8}, workers=1)
    run(found, tmp_path, "search_fake:trivial", terms=Terms(minutes=1e-6))
    assert "finished" not in json.loads((tmp_path / "study.json").read_text())
    run(found, tmp_path, "search_fake:trivial")
    assert json.loads((tmp_path / "study.json").read_text())["finished"] > 0
    run(found.of_trials(9), tmp_path, "search_fake:trivial", terms=Terms(minutes=1e-6))
    assert "finished" not in json.loads((tmp_path / "study.json").read_text())


def test_a_budget_is_changed_for_all(tmp_path: Path) -> None:
    """Workers that are hired read it in the ledger: a parent must not wait for more than they."""
    longer = study(tmp_path, budget={"trials": 8}, workers=1)
    place = tmp_path / "here"
    with alone(place) as here, Ledger(here.ledger) as ledger:
        enter(longer, ledger, place)
        parent = Parent(longer, ledger, here, "search_fake:trivial", Terms(minutes=1.0))
        enter(longer.of_trials(6), ledger, place)
        assert parent.run().states["done"] == 6
    assert json.loads((place / "study.json").read_text())["budget"]["trials"] == 6


def test_no_minutes_are_no_time(tmp_path: Path) -> None:
    found = study(tmp_path, workers=1)
    ended = run(found, tmp_path, "search_fake:trivial", terms=Terms(minutes=0.0))
    assert ended.states["done"] == 0


def test_checkpoints_of_trials_that_are_done_go(tmp_path: Path) -> None:
    """Another folder may have finished what was begun here."""
    found = study(tmp_path, budget={"trials": 4}, workers=1)
    run(found, tmp_path, "search_fake:trivial")
    for number in (0, 99):
        (tmp_path / "checkpoints" / str(number)).mkdir(parents=True)
    run(found, tmp_path, "search_fake:trivial")
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["99"]


def test_time_counts_without_a_trial_that_ended(tmp_path: Path) -> None:
    found = study(tmp_path, budget={"trials": 8, "seconds": 3600}, workers=1)
    with alone(tmp_path) as here, Ledger(here.ledger) as ledger:
        enter(found, ledger, tmp_path)
        parent = Parent(found, ledger, here, "search_fake:trivial", Terms())
        parent.began -= 100.0
        parent.follow()
        assert ledger.fact("seconds") is None
        parent.noted -= ledger.lease
        parent.follow()
        assert 100.0 <= float(ledger.fact("seconds") or 0.0) < 200.0
        parent.began -= 100.0
        parent.close()
        assert float(ledger.fact("seconds") or 0.0) >= 200.0
