"""A run with limits has a process of its own: what it does there is told, and others go on."""

import errno
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from miras import train
from miras.result import Result
from miras.search.sweep import sweep
from miras.search.sweep.comparison import Job, Sweep
from miras.search.sweep.standing import Standing
from miras.search.trial.isolation import NoRoom

TASK = {"kind": "parity", "steps": 2, "batch": 4, "validation": 8, "test": 8}
JOB = Job(0, 0, 0.001, 0)


def plan(**limits: object) -> Sweep:
    fields = {
        "name": "tiny",
        "compare": [{"task": TASK, "memories": ["gla"]}],
        "learning_rates": [0.001],
        "seeds": [0],
        "limits": limits,
    }
    return Sweep.model_validate(fields)


def hog() -> None:
    torch.empty(2**32)


def hang() -> None:
    time.sleep(600)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fault() -> None:
    os._exit(7)


@pytest.mark.parametrize(
    ("does", "limits", "status", "said"),
    [
        (hog, {"memory_gib": 8.0}, "out_of_memory", "allocate memory"),
        (hang, {"seconds": 0.05, "grace": 0.0}, "timed_out", "killed after 0 s"),
        (die, {}, "out_of_memory", "exit code -9, 3 times: the system killed it"),
        (fault, {}, "error", "exit code 7"),
    ],
)
def test_what_goes_over_its_limits_is_a_result(
    does: Callable[[], None],
    limits: dict[str, float],
    status: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def training(*_: Any, **__: Any) -> Any:
        does()
        raise AssertionError("it went on")

    monkeypatch.setattr(train, "train", training)
    found = sweep.execute(plan(**limits), JOB)
    assert (found.status, found.score) == (status, None) and said in found.reason
    assert not Standing(plan(**limits), [found]).needed()  # it is the result of this run


def test_a_run_within_its_limits_is_as_it_would_be_without() -> None:
    found = sweep.execute(plan(), JOB)
    free = sweep.execute(plan().model_copy(update={"limits": None}), JOB)
    assert found.status == "ok" and found.metrics == free.metrics
    short = sweep.execute(plan(per_task={"parity": 1e-9}), JOB)
    assert short.status == "timed_out" and "passed at step 1" in short.reason


def test_a_machine_without_room_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says nothing of a memory: the run is begun again."""

    def training(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(train, "train", training)
    for limits in (plan().limits, None):
        with pytest.raises(NoRoom):
            sweep.execute(plan().model_copy(update={"limits": limits}), JOB)
    tried: list[Job] = []

    def execute(asked: Sweep, job: Job) -> Result:
        tried.append(job)
        if len(tried) == 1:
            raise NoRoom("no more files")
        return sweep.failed(asked, job, "diverged", "loss 1e9")

    monkeypatch.setattr(sweep, "execute", execute)
    monkeypatch.setattr(sweep, "ROOM", 0.0)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
    assert sweep.run(plan(), tmp_path).left()[0] == 0
    assert tried == [JOB, JOB] and "put off: no more files" in capsys.readouterr().out
