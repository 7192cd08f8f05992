"""What a trial does: train its memory on every task, and say what came of it.

Runs go rate by rate: a rate at which one run fails is left at once, since only a rate that passes
on all tasks and seeds can win.
"""

import errno
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from miras.canonical import key
from miras.load import brief
from miras.memory import SLOTS
from miras.model import ModelSpec
from miras.part import SpecError
from miras.result import Result, Status, TrialRecord
from miras.stack import Stack, layers_of
from miras.tasks import Task

from ..space.derive import Candidate
from ..space.opening import TITLES
from ..study import Study, measured_by
from .first_look import Allowed, Unfit, look
from .measuring import too_large

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
"""Errors of the machine, which say nothing about a memory."""


class Job(NamedTuple):
    """What one trial has to train."""

    study: Study
    memory: Candidate
    rates: tuple[float, ...]
    done: tuple[Result, ...] = ()
    rung: int = -1  # how far it is trained now: to the last one if not said
    shift: int = 0  # added to every seed: null candidates have seeds of their own
    checkpoints: Path | None = None  # folder of unfinished trainings of this trial alone
    device: str = "cpu"


class Run(NamedTuple):
    """One training of a trial."""

    task: Task
    seed: int
    rate: float
    keep: Path | None = None  # where the training is kept while it is unfinished
    first: bool = False  # of its trial, by whichever worker
    device: str = "cpu"

    def is_of(self, result: Result) -> bool:
        """Whether a result is that of this run."""
        place = (result.task, result.seed, result.learning_rate)
        return place == (self.task.name, self.seed, self.rate)


Train = Callable[[Study, Candidate, Run], Result]
"""One training; it may raise anything."""


class Verdict(NamedTuple):
    """What a trial is worth."""

    status: Status
    reason: str
    learning_rate: float
    test: dict[str, float]  # score of each objective on the test split
    validation: dict[str, float]  # the same on the validation split, which the search looks at


def runs_of(study: Study, rates: Sequence[float], rung: int = -1, shift: int = 0) -> list[Run]:
    """All runs of a rung of a trial, in order."""
    look = study.looks[rung]
    tasks = [task for task in study.tasks if not look.tasks or task.name in look.tasks]
    seeds = [seed + shift for seed in look.seeds or study.seeds]
    return [Run(task, seed, rate) for rate in rates for task in tasks for seed in seeds]


def execute(job: Job, train: Train) -> Iterator[Result | tuple[Status, str]]:
    """Do the runs that are missing, one after the other; a failed one is a result like others.

    A first look that finds the memory not worth training is the end, and all that is said.
    """
    found = list(job.done)
    rates = job.rates
    if job.study.looks[job.rung].learning_rate == "best":
        rates = (judge(job.study, found, None, job.rung - 1, job.shift).learning_rate,)
    for run in runs_of(job.study, rates, job.rung, job.shift):
        here = [result for result in found if result.learning_rate == run.rate]
        if any(result.status != "ok" for result in here) or any(map(run.is_of, here)):
            continue
        if job.checkpoints is not None:
            name = f"{run.task.name}-{run.seed}-{run.rate:g}.safetensors"
            run = run._replace(keep=job.checkpoints / name)
        try:
            run = run._replace(first=not found, device=job.device)
            result = train(job.study, job.memory, run)
        except Unfit as unfit:
            yield unfit.status, unfit.reason
            return
        except Exception as error:  # whatever a part raises is an outcome of its trial
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise  # of the machine it is not
            result = failed(job.memory, run, *cause(error))
        found.append(result)
        yield result


def train(study: Study, memory: Candidate, run: Run) -> Result:
    """The training of a study: the library's plain loop, after a first look."""
    from miras.train import train as training

    if run.first and study.first_look and not (run.keep and run.keep.exists()):
        allowed = None
        if str(run.device) == "cpu":  # where the look is: another device has another pace
            allowed = Allowed(run.task.name, run.task.steps, study.seconds(run.task.name))
        look(memory, study.shell, run.task, study.rates, run.seed, allowed=allowed)
    spec = ModelSpec.of(study.shell, layers_of(memory))
    result, _ = training(
        spec,
        run.task,
        learning_rate=run.rate,
        seed=run.seed,
        evaluations=study.evaluations,
        seconds=study.seconds(run.task.name),
        device=run.device,
        keep=run.keep,
    )
    return result


def failed(memory: Candidate, run: Run, status: Status, reason: str) -> Result:
    """The result of a run that gave none."""
    return Result(
        name=memory.name,
        key=key(memory),
        memory={},
        task=run.task.name,
        settings={},
        seed=run.seed,
        learning_rate=run.rate,
        status=status,
        reason=reason,
    )


def cause(error: Exception) -> tuple[Status, str]:
    """What is said of a run that raised this."""
    text = str(error) or type(error).__name__
    if isinstance(error, SpecError):
        return "invalid", text
    if too_large(error):
        return "out_of_memory", text.splitlines()[0]
    return "error", "".join(traceback.format_exception(error)[-6:]).strip()


def judge(
    study: Study,
    results: Sequence[Result],
    ending: tuple[Status, str] | None,
    rung: int = -1,
    shift: int = 0,
) -> Verdict:
    """What a trial is worth on a rung: at the rate with the best mean validation score.

    `ending` says how the trial was cut off, if it was; rates that were complete by then count.
    """
    best: Verdict | None = None
    for rate in dict.fromkeys(result.learning_rate for result in results):
        runs = runs_of(study, [rate], rung, shift)
        here = [each for each in results if each.status == "ok" and _among(each, runs)]
        if not all(any(map(run.is_of, here)) for run in runs):
            continue
        verdict = Verdict(
            "ok",
            "",
            rate,
            _objectives(study, here, lambda result: result.score),
            _objectives(study, here, lambda result: result.validation),
        )
        if best is None or fmean(verdict.validation.values()) > fmean(best.validation.values()):
            best = verdict
    if best is not None:
        return best
    bad = next((result for result in results if result.status != "ok"), None)
    status, reason = ending or (
        (bad.status, f"{bad.task}: {bad.reason}") if bad else ("error", "nothing was trained")
    )
    return Verdict(status, reason, results[-1].learning_rate if results else 0.0, {}, {})


def worth(study: Study, record: TrialRecord) -> dict[str, float]:
    """Validation scores of the objectives of a trial that went through all rungs."""
    return judge(study, record.results, None, shift=study.shift(record.number)).validation


def _among(result: Result, runs: Sequence[Run]) -> bool:
    return any(run.is_of(result) for run in runs)


def _objectives(
    study: Study, results: Sequence[Result], score: Callable[[Result], float | None]
) -> dict[str, float]:
    """Mean over the tasks of an objective of the mean over seeds; those that were measured."""
    measured = {result.task for result in results}
    members = {
        name: [task for task in measured_by(study)[name] if task in measured]
        for name in study.measures
    }
    return {
        name: fmean(
            fmean(score(result) or 0.0 for result in results if result.task == task)
            for task in tasks
        )
        for name, tasks in members.items()
        if tasks
    }


def plain(memory: Candidate) -> dict[str, Any]:
    """What is trained as a person would write it; all four choices even where they are defaults."""
    if isinstance(memory, Stack):
        return {"name": memory.name, "pattern": [plain(cell) for cell in memory.pattern]}
    found = brief(memory)
    slots = {slot: {"kind": getattr(memory, slot).kind} for slot in SLOTS if hasattr(memory, slot)}
    titles = {name: value for name, value in found.items() if name in TITLES}
    return titles | slots | {name: value for name, value in found.items() if name not in TITLES}
