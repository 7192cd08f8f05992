"""A fair comparison of named memories: the same tasks, learning rates and seeds for all.

For each memory and task the learning rate is chosen on one seed by the validation score; where the
best is at the edge of the grid, the grid grows by one notch. The chosen rate is then run on all
seeds. What is still to run is a function of the results on disk, so a sweep can be killed and
started again at any point.
"""

import math
import multiprocessing
import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

from miras.canonical import key
from miras.lines import append, read
from miras.load import brief
from miras.result import Result, Status, TrialRecord
from miras.score import CHECKPOINTS

from ..bounds import Limits
from ..trial.evaluation import NO_ROOM, cause
from ..trial.isolation import (
    MOST_CRASHES,
    PATIENCE,
    ROOM,
    Bounds,
    Crashed,
    NoRoom,
    Silent,
    answered,
    one_thread,
)
from .comparison import Job, Sweep, load_sweep
from .standing import Standing
from .sweep_page import page

__all__ = ["Job", "Standing", "Sweep", "execute", "load_sweep", "publish", "records", "run"]

RESULTS = "results.jsonl"
TRIALS = "trials.jsonl"


def run(sweep: Sweep, folder: Path, minutes: float | None = None) -> Standing:
    """Run what is missing and print a line per run.

    After `minutes` nothing new is begun and what runs is finished: call it again to go on.
    """
    path = folder / RESULTS
    standing = Standing(sweep, read(path, Result))
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    context = multiprocessing.get_context("spawn")
    running: dict[Future[Result], Job] = {}
    with ProcessPoolExecutor(sweep.workers, context, one_thread) as pool:
        while True:
            jobs = [job for job in standing.needed() if job not in running.values()]
            while jobs and len(running) < sweep.workers and time.monotonic() < end:
                job = jobs.pop(0)
                running[pool.submit(execute, sweep, job)] = job
            if not running:
                return standing
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    found = future.result()
                except NoRoom as full:
                    print(f"a run is put off: {full}; waiting", flush=True)
                    time.sleep(ROOM)
                    continue
                append(path, found)
                standing.add(found)
                _tell(standing, job, found)


def _tell(standing: Standing, job: Job, found: Result) -> None:
    title = standing.sweep.compare[job.comparison].title
    score = "-" if found.score is None else f"{found.score:.3f}"
    count, seconds = standing.left()
    minutes = seconds / 60 / standing.sweep.workers
    print(
        f"{title:<22} {found.name:<20} rate {found.learning_rate:<8g} seed {found.seed} "
        f" {found.status} {score}  {found.seconds:.0f} s; {count} runs left, about {minutes:.0f}"
        " min",
        flush=True,
    )


def publish(standing: Standing, folder: Path) -> None:
    """Write the page and the records that figures read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(page(standing), encoding="utf-8")
    (folder / TRIALS).unlink(missing_ok=True)
    for record in records(standing):
        append(folder / TRIALS, record)


def records(standing: Standing) -> list[TrialRecord]:
    """One record per memory with its final runs on all tasks, as the figures read them."""
    found: dict[str, list[Result]] = {}
    for index in range(len(standing.sweep.compare)):
        for name, runs in standing.final(index).items():
            found.setdefault(name, []).extend(runs)
    return [
        record(standing.sweep.name, number, name, runs)
        for number, (name, runs) in enumerate(found.items())
        if runs
    ]


def record(study: str, number: int, name: str, runs: list[Result]) -> TrialRecord:
    """The final runs of a named memory as one record."""
    return TrialRecord(
        study=study,
        number=number,
        origin="baseline",
        name=name,
        key=runs[0].key,
        memory=runs[0].memory,
        choices={},
        status="ok" if all(run.status == "ok" for run in runs) else "diverged",
        results=tuple(runs),
        learning_rate=runs[0].learning_rate,
        seconds=sum(run.seconds for run in runs),
    )


def execute(sweep: Sweep, job: Job) -> Result:
    """One run, in a worker process. Whatever a memory raises is a result: others go on.

    With limits it is in a process of its own, and what goes over them is a result too. Raises
    NoRoom where the machine has none left, which says nothing of a memory.
    """
    try:
        if sweep.limits is not None:
            return _within(sweep.limits, sweep, job)
        return trained(sweep, job)
    except OSError as error:
        raise NoRoom(str(error)) from None
    except SystemExit:
        os._exit(1)  # who asked is gone: nobody waits for the end of this process


def _within(limits: Limits, sweep: Sweep, job: Job) -> Result:
    task = sweep.compare[job.comparison].task.name
    bounds = Bounds(PATIENCE * limits.of(task) + limits.grace, limits.memory_gib)
    try:
        return answered(partial(trained, sweep, job), bounds)
    except Silent:
        reason = f"it was killed after {bounds.silence:.0f} s without a result"
        return failed(sweep, job, "timed_out", reason)
    except Crashed as crash:
        if not crash.signal:
            return failed(sweep, job, "error", str(crash))
        reason = f"{crash}, {MOST_CRASHES} times"
        if crash.signal != signal.SIGKILL:
            return failed(sweep, job, "error", reason)
        reason += ": the system killed it, as it does where memory has run out"
        return failed(sweep, job, "out_of_memory", reason)


def trained(sweep: Sweep, job: Job) -> Result:
    """One run in this process."""
    from miras.train import train

    comparison = sweep.compare[job.comparison]
    memory, task = comparison.entrants[job.memory], comparison.task
    points = CHECKPOINTS if sweep.evaluations is None else sweep.evaluations
    try:
        found, _ = train(
            comparison.spec(memory),
            task,
            learning_rate=job.learning_rate,
            seed=job.seed,
            evaluations=points,
            seconds=None if sweep.limits is None else sweep.limits.of(task.name),
        )
        # of a stack the training tells the first layer
        return found.model_copy(update=_about(sweep, job))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        return failed(sweep, job, *cause(error))


def _about(sweep: Sweep, job: Job) -> dict[str, Any]:
    memory = sweep.compare[job.comparison].entrants[job.memory]
    return {"name": memory.name, "key": key(memory), "memory": brief(memory)}


def failed(sweep: Sweep, job: Job, status: Status, reason: str) -> Result:
    """The result of a run that gave none."""
    comparison = sweep.compare[job.comparison]
    spec = comparison.spec(comparison.entrants[job.memory])
    shell = spec.model_dump(mode="json", exclude={"pattern"})
    return Result(
        **_about(sweep, job),
        task=comparison.task.name,
        settings={"task": comparison.task.model_dump(mode="json"), "shell": shell},
        seed=job.seed,
        learning_rate=job.learning_rate,
        status=status,
        reason=reason,
    )
