"""A study in which everything that takes part is killed at random, and what is left of it.

Two parents share the study. Trainings take no time: what is tried is the machinery.
"""

import contextlib
import hashlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from miras.benchmarks.postgres import Server, postgres
from miras.canonical import key
from miras.lines import read
from miras.part import SpecError
from miras.result import Result, TrialRecord
from miras.search.engine import join, run
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.telling import opened
from miras.search.space.derive import Candidate
from miras.search.study import Study
from miras.search.trial.evaluation import Run
from miras.search.workers.parent import Terms

TRAIN = "miras.benchmarks.storm:training"
SPACE: dict[str, Any] = {
    "architecture": "matrix",
    "bias": {"any": ["l2", {"kind": "lp", "p": {"float": [2.0, 4.0]}}]},
    "retention": {"any": ["none", {"kind": "decay", "axis": {"any": ["scalar", "key"]}}]},
    "optimizer": {"any": ["gd", "momentum"]},
}
MACHINES = multiprocessing.get_context("forkserver")


class Count(NamedTuple):
    """What a storm has left."""

    kills: int
    lost: int
    told_twice: int
    equal_keys: int
    done: int
    left_running: int
    stall: float  # from the kill of a worker until its trial was free, less what a server was away
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.seconds:.0f} s: finished lost {self.lost}, told twice"
            f" {self.told_twice}, equal keys {self.equal_keys}, done {self.done}, left RUNNING"
            f" {self.left_running}, longest stall {self.stall:.1f} s"
        )


def training(study: Study, memory: Candidate, run: Run) -> Result:
    """A training of a moment: at most as many seconds as the study's description says."""
    time.sleep(_digest(memory)[4] / 255 * float(study.description))
    return result_of(memory, run)


def result_of(memory: Candidate, run: Run) -> Result:
    """A result that is a function of the memory."""
    score = int.from_bytes(_digest(memory)[:4]) / 2**32
    return Result(
        name=memory.name,
        key=key(memory),
        memory={},
        task=run.task.name,
        settings={},
        seed=run.seed,
        learning_rate=run.rate,
        score=score,
        validation=score,
    )


def _digest(memory: Candidate) -> bytes:
    return hashlib.sha256(key(memory).encode()).digest()


def study_of(slots: int, workers: int, seed: int, pace: float = 0.05) -> Study:
    """A study of random candidates on two tasks."""
    return Study.model_validate(
        {
            "name": "chaos",
            "description": str(pace),
            "space": SPACE,
            "tasks": ["mqar", "parity"],
            "baselines": ["deltanet", "gated-deltanet"],
            "nulls": 0,
            "sampler": {"kind": "random"},
            "seed": seed,
            "budget": {"trials": slots},
            "workers": workers,
        }
    )


class Storm:
    """A study with several parents, and what befalls them."""

    def __init__(
        self, folder: Path, study: Study, kind: str, server: Server | None, lease: float
    ) -> None:
        self.folder, self.study, self.kind, self.server = folder, study, kind, server
        self.lease = lease
        self.ledger = server.url if server else f"sqlite:///{folder / 'ledger.db'}"
        self.optuna = server.url if server else kind
        self.random = random.Random(study.seed)
        self.parents: dict[str, BaseProcess] = {}
        self.known: dict[int, str] = {}
        self.waiting: dict[int, tuple[float, int]] = {}  # slot: when its worker died, its token
        self.stall, self.strikes = 0.0, 0

    def keep(self, name: str) -> None:
        """See to it that a parent is there: the first starts the study, others take part in it."""
        parent = self.parents.get(name)
        if parent is None or not parent.is_alive():
            first = name == "first"
            workers = self.study.workers if first else 1
            place = (str(self.folder / name), self.ledger, self.optuna, self.lease, workers)
            parent = MACHINES.Process(target=sitting, args=(self.study, first, *place))
            parent.start()
            self.parents[name] = parent

    def strike(self) -> None:
        """Kill one process of those that take part."""
        dice = self.random.random()
        self.strikes += 1
        if self.server is not None and self.strikes % 20 == 5:
            began = time.monotonic()
            self.server.kill()
            self.server.start()
            away = time.monotonic() - began  # no fault of those who wait for it
            for slot, (since, token) in self.waiting.items():
                self.waiting[slot] = (since + away, token)
        elif dice < 0.12:
            name = self.random.choice(list(self.parents))
            if (process := self.parents[name].pid) is not None:
                kill(process)
            self.parents[name].join()
            self.waiting.clear()  # its workers end with it: who goes on is another question
        elif workers := self.holders():
            process = self.random.choice(sorted(workers))
            if dice < 0.2 and (children := children_of(process)):
                kill(self.random.choice(children))  # a training alone
            elif kill(process):
                slot, token = workers[process]
                self.waiting[slot] = (time.monotonic(), token)

    def holders(self) -> dict[int, tuple[int, int]]:
        """Process of each worker that holds a trial: that trial, and its token."""
        with self.looking() as ledger:
            return {
                int(owner.rpartition("/")[2].rstrip(".")): (slot, token)
                for slot, owner, token in ledger.held()
            }

    def looking(self) -> Ledger:
        """The ledger."""
        return Ledger(self.ledger, self.study.name, self.lease, time.sleep)

    def look(self) -> int:
        """Note what is finished, and which trials of killed workers are free again."""
        with self.looking() as ledger:
            for _, slot in ledger.ended():
                if slot not in self.known:
                    self.known[slot] = ledger.record(slot)
            held = {slot: token for slot, _, token in ledger.held()}
        for slot, (since, token) in list(self.waiting.items()):
            if held.get(slot) != token:
                self.stall = max(self.stall, time.monotonic() - since)
                del self.waiting[slot]
        return len(self.known)

    def end(self, kills: int, seconds: float) -> Count:
        """What is left when all is over."""
        with self.looking() as ledger:
            slots = ledger.slots()
            states = ledger.states(self.study.budget.trials)
        found = {each.slot: each.record for each in slots if each.state == "done"}
        told: Counter[int] = Counter()
        running = states["running"]
        for place in {self.folder / name for name in self.parents} if not self.server else {None}:
            counted = self.told(place)
            told |= counted[0]
            running += counted[1]
        lines: Counter[int] = Counter()
        for name in self.parents:
            records = read(self.folder / name / "trials.jsonl", TrialRecord)
            lines |= Counter(each.number for each in records)
        keys = [TrialRecord.model_validate_json(text or "{}").key for text in found.values()]
        lost = sum(found.get(slot) != text for slot, text in self.known.items())
        missing = len(found.keys() - told.keys()) + len(found.keys() - lines.keys())
        return Count(
            kills=kills,
            lost=lost + missing,
            told_twice=sum(count > 1 for each in (told, lines) for count in each.values()),
            equal_keys=len(keys) - len(set(keys)),
            done=states["done"],
            left_running=running,
            stall=self.stall,
            seconds=seconds,
        )

    def told(self, place: Path | None) -> tuple[Counter[int], int]:
        """How often each trial is in one of Optuna's storages, and how many run there."""
        try:
            storage = opened(self.optuna, place or self.folder)
            trials = optuna.load_study(study_name=self.study.name, storage=storage).trials
        except KeyError:
            return Counter(), 0  # this parent has never written
        running = sum(trial.state == optuna.trial.TrialState.RUNNING for trial in trials)
        return Counter(trial.user_attrs["trial"] for trial in trials), running


def sitting(
    study: Study, first: bool, folder: str, ledger: str, kind: str, lease: float, workers: int
) -> None:
    """What a parent does: start the study or take part in it."""
    out = os.open(f"{folder}.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    terms = Terms(workers, optuna=kind)
    try:
        if first:
            run(study, folder, TRAIN, storage=ledger, terms=terms, lease=lease)
        else:
            join(study.name, ledger, folder, TRAIN, terms=terms, lease=lease)
    except SpecError as error:
        print(error, flush=True)
        sys.exit(1)


def kill(process: int) -> bool:
    """Kill a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        return True
    return False


def children_of(process: int) -> list[int]:
    """Processes that a process has started."""
    with contextlib.suppress(OSError):
        path = Path(f"/proc/{process}/task/{process}/children")
        return [int(each) for each in path.read_text().split()]
    return []


def storm(
    folder: Path,
    kind: str,
    kills: int,
    slots: int,
    workers: int = 3,
    lease: float = 4.0,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Count:
    """One study of so many trials, and so many kills while it runs."""
    MACHINES.set_forkserver_preload(["miras.benchmarks.storm"])
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres()) if kind == "postgresql" else None
        # the second parent brings a worker of its own
        study = study_of(slots, workers - 1, seed)
        folder.mkdir(parents=True, exist_ok=True)
        found = Storm(folder, study, kind, server, lease)
        began, done, count = time.monotonic(), 0, 0
        found.keep("first")
        while done < slots or any(each.is_alive() for each in found.parents.values()):
            if done < slots:
                for name in ("first", "second"):
                    found.keep(name)
            time.sleep(found.random.uniform(0.0, 0.1))
            # as many kills as trials that are done, so that neither ends before the other
            if count < kills and (
                (done >= 2 and count * slots <= kills * done) or done > 0.9 * slots
            ):
                found.strike()
                count += 1
                if count % 50 == 0:
                    say(f"{count} kills, {done} trials done, {time.monotonic() - began:.0f} s")
            done = found.look()
        for name in found.parents:  # each once more, to see that nothing is left to do
            found.parents[name].join()
            found.keep(name)
            found.parents[name].join()
        return found.end(count, time.monotonic() - began)
