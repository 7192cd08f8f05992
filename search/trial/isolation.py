"""Training in a process of its own: what it does to itself it does to nobody else.

A worker is a fork of a server that was started afresh, so that it shares nothing with the process
of the user. The server loads torch and computes nothing, so a worker is there in 20 ms; a training
is a fork of the worker. Each ends when its parent does, whatever the parent died of.
"""

import importlib
import math
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, cast

import torch
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from miras.result import Result, Status

from .evaluation import NO_ROOM, Job, Train, execute

Ending = tuple[Status, str]

LINUX = sys.platform == "linux"
WORKERS: Any = multiprocessing.get_context("forkserver" if LINUX else "spawn")
TRAININGS: Any = multiprocessing.get_context("fork" if LINUX else "spawn")


PATIENCE = 4.0
"""How much longer than its limit a training may take by the clock: its core may have other work."""

STOPPED = 5.0
"""Seconds by which a wait may be longer than asked; more, and the processes were stopped."""

MOST_CRASHES = 3
"""Training processes of one trial that may die by themselves before that is its outcome."""

ROOM = 5.0
"""Seconds that are waited where a machine has no room left, before a training is tried again."""

STILL = threading.Lock()
"""Held by threads beside the one that forks while they do what a child must not have half of."""

FULL = 75
"""Exit code of a training for which its machine had no room."""


class NoRoom(RuntimeError):
    """The machine has no room for a training: it is to be done again later, or elsewhere."""


class Crashed(RuntimeError):
    """A child process died by itself: of a signal, or of something that ended Python."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.signal = -code if code and code < 0 else 0
        """What it died of; 0 if Python ended in order."""

    def __str__(self) -> str:
        return f"the training process ended with exit code {self.args[0]}"


class Silent(RuntimeError):
    """A child process has used up its time without a word."""


def named(path: str) -> Train:
    """The function that `package.module:function` names."""
    module, _, function = path.partition(":")
    return cast(Train, getattr(importlib.import_module(module), function))


def one_thread() -> None:
    """Let this process compute with one thread: workers share the cores as processes.

    SciPy brings a library of its own for linear algebra, whose threads wait for each other in a
    loop: with other work beside, a fit of an expectation took three times as long.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)


def settle(log: Path) -> None:
    """Make this process a quiet worker: what it has to say goes into a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us in order
    signal.signal(signal.SIGTERM, _end)
    one_thread()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)  # through all `finally`: the training is ended too


def pause(seconds: float, *others: Connection) -> bool:
    """Wait for one of the connections: whether there is something. Ends an orphaned process."""
    parent = multiprocessing.parent_process()
    sentinels = [parent.sentinel] if parent else []
    ready = wait([*others, *sentinels], seconds)
    if any(each in sentinels for each in ready):
        sys.exit("the search is gone")
    return bool(ready)


def isolated(
    job: Job, train: str, alive: Callable[[], None], often: float
) -> Iterator[Result | Ending]:
    """Execute a job in a child process: its results as they come, and last an Ending if it was cut.

    `alive` is called every `often` seconds while the child works; if it raises, the child is
    killed. Raises Crashed if the child dies by itself.
    """
    longest = max(job.study.seconds(task.name) for task in job.study.tasks)
    limits = job.study.limits
    bounds = Bounds(PATIENCE * longest + limits.grace, limits.memory_gib)
    try:
        yield from enclosed(partial(_executed, job, train), bounds, alive, often)
    except Silent:
        yield "timed_out", f"a run was killed after {bounds.silence:.0f} s without a result"


def _executed(job: Job, train: str) -> Iterator[Result | Ending]:
    return execute(job, named(train))


class Bounds(NamedTuple):
    """What a child process may use; it is killed where the limit is one of time."""

    silence: float = math.inf
    """Seconds by the clock without a word."""
    memory_gib: float | None = None
    """More raises in the child what a full machine would raise."""
    core: float = 0.0
    """Seconds of the processor in all; none are counted if 0."""


def enclosed(
    work: Callable[[], Iterable[Any]], bounds: Bounds, alive: Callable[[], None], often: float
) -> Iterator[Any]:
    """What some work yields in a child process, as it comes.

    `alive` is called every `often` seconds while the child works; if it raises, the child is
    killed. Raises Silent if the child has used up its time, NoRoom or Crashed if it died by itself.
    """
    ours, theirs = TRAININGS.Pipe(duplex=False)
    child = TRAININGS.Process(target=_child, args=(work, bounds, theirs))
    with STILL:
        child.start()
    theirs.close()
    try:
        yield from listened(ours, bounds.silence, alive, often)
    except EOFError:
        child.join()
        if child.exitcode == FULL:
            raise NoRoom("its machine has no room left on a disk, or no more files") from None
        if child.exitcode == -signal.SIGPROF:
            raise Silent from None
        raise Crashed(child.exitcode) from None
    finally:
        if child.is_alive():
            child.kill()
        child.join()
        ours.close()


def answered(work: Callable[[], Any], bounds: Bounds) -> Any:
    """What a function returns in a child process; one that died of a signal is tried again.

    Raises Silent and NoRoom as `enclosed` does, and the last Crashed of MOST_CRASHES, or at once
    one of a child that ended in order: that is an error of ours, and would come again.
    """
    crashes = 0
    while True:
        try:
            return next(iter(enclosed(partial(_once, work), bounds, _nothing, 1.0)))
        except Crashed as crash:
            crashes += 1
            if not crash.signal or crashes == MOST_CRASHES:
                raise


def _once(work: Callable[[], Any]) -> Iterator[Any]:
    yield work()


def _nothing() -> None:
    """Nobody has to hear that it takes a while."""


def listened(
    pipe: Connection, silence: float, alive: Callable[[], None], often: float
) -> Iterator[Any]:
    """All that comes, up to the None at its end. Raises Silent where nothing comes for too long."""
    deadline = time.monotonic() + silence
    while True:
        left = deadline - time.monotonic()
        if left <= 0 and not pipe.poll():
            raise Silent
        asked, began = max(0.0, min(left, often)), time.monotonic()
        if not pause(asked, pipe):
            waited = time.monotonic()
            alive()
            # waiting for the ledger is no fault of the run, nor is it that all of us were stopped
            deadline += time.monotonic() - waited + max(0.0, waited - began - asked - STOPPED)
            continue
        message: Any = pipe.recv()
        if message is None:
            return
        yield message
        deadline = time.monotonic() + silence


def _child(work: Callable[[], Iterable[Any]], bounds: Bounds, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def leave() -> None:
        wait([parent.sentinel] if parent else [])
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
    one_thread()
    if bounds.memory_gib is not None:
        most = int(bounds.memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, bounds.core)
    try:
        for each in work():
            pipe.send(each)
        pipe.send(None)
    except OSError as error:
        if error.errno in NO_ROOM:
            os._exit(FULL)  # at once: on a full disk nothing more can be said
        traceback.print_exc()
        sys.exit(1)
    except Exception:
        # Not a run that failed but the harness itself: nothing can be said about the memory.
        traceback.print_exc()
        sys.exit(1)
