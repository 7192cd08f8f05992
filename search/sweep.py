"""A fair comparison of named memories: the same tasks, learning rates and seeds for all.

For each memory and task the learning rate is chosen on one seed by the validation score; where the
best is at the edge of the grid, the grid grows by one notch. The chosen rate is then run on all
seeds. What is still to run is a function of the results on disk, so a sweep can be killed and
started again at any point.
"""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from miras.known import expand
from miras.load import load
from miras.memory import Memory
from miras.model import ModelSpec, Shell
from miras.part import Part
from miras.result import Result, append, read
from miras.tasks import AnyTask, Task

AnyMemory = Annotated[Memory, BeforeValidator(expand)]

RESULTS = "results.jsonl"


class Comparison(Part):
    """Some memories on one task in one shell."""

    task: AnyTask
    memories: tuple[AnyMemory, ...] = Field(min_length=1)
    shell: Shell = Shell()
    learning_rates: tuple[float, ...] = Field(default=(), description="instead of the sweep's")


class Sweep(Part):
    """A sweep file."""

    name: str
    description: str = ""
    compare: tuple[Comparison, ...] = Field(min_length=1)
    learning_rates: tuple[float, ...] = Field(default=(1e-3, 3e-3, 1e-2), min_length=1)
    notches: int = Field(default=1, ge=0, le=4, description="how often the grid may grow")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    workers: int = Field(default=2, ge=1, le=256)


class Job(NamedTuple):
    """One run that a sweep needs."""

    comparison: int
    memory: int
    learning_rate: float
    seed: int


def load_sweep(path: Path) -> Sweep:
    """The sweep of a file. Raises SpecFileError."""
    return load(path, Sweep)


def needed(sweep: Sweep, results: Sequence[Result]) -> list[Job]:
    """The runs that can be started now; none when the sweep is complete."""
    jobs: list[Job] = []
    for index, comparison in enumerate(sweep.compare):
        for number, memory in enumerate(comparison.memories):
            mine = [each for each in results if _same(each, memory, comparison)]
            first = [each for each in mine if each.seed == sweep.seeds[0]]
            grid = comparison.learning_rates or sweep.learning_rates
            rates = _rates(grid, sweep.notches, first)
            missing = [rate for rate in rates if not _at(first, rate)]
            jobs += [Job(index, number, rate, sweep.seeds[0]) for rate in missing]
            if missing:
                continue
            best = chosen(first)
            jobs += [
                Job(index, number, best.learning_rate, seed)
                for seed in sweep.seeds
                if not _at([each for each in mine if each.seed == seed], best.learning_rate)
            ]
    return jobs


def chosen(results: Sequence[Result]) -> Result:
    """The run with the best validation score; the lower loss decides between equal ones."""

    def merit(result: Result) -> tuple[bool, float, float]:
        last = result.curve[-1] if result.curve else None
        score = round(result.validation or 0.0, 3)
        return result.status == "ok", score, -last.loss if last else 0.0

    return max(results, key=merit)


def run(sweep: Sweep, folder: Path) -> list[Result]:
    """Run what is missing, print a line per run, return all results."""
    path = folder / RESULTS
    results = read(path, Result)
    began, done = time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(sweep.workers, context, _one_thread) as pool:
        while jobs := needed(sweep, results):
            waiting = {pool.submit(execute, sweep, job): job for job in jobs}
            for future in as_completed(waiting):
                found = future.result()
                append(path, found)
                results.append(found)
                done += 1
                left = len(waiting) - sum(each.done() for each in waiting)
                spent = time.monotonic() - began
                score = "-" if found.score is None else f"{found.score:.3f}"
                print(
                    f"{found.task:<15} {found.name:<20} rate {found.learning_rate:<8g} seed"
                    f" {found.seed}  {found.status} {score}  {found.seconds:.0f} s;"
                    f" {left} left in this round, about {spent / done * left / 60:.0f} min",
                    flush=True,
                )
    return results


def execute(sweep: Sweep, job: Job) -> Result:
    """One run, in a worker process."""
    from miras.train import train

    comparison = sweep.compare[job.comparison]
    spec = ModelSpec.of(comparison.shell, [comparison.memories[job.memory]])
    rate, seed = job.learning_rate, job.seed
    result, _ = train(spec, comparison.task, learning_rate=rate, seed=seed, evaluations=8)
    return result


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _same(result: Result, memory: Memory, comparison: Comparison) -> bool:
    task: Task = comparison.task
    wanted: dict[str, Any] = comparison.shell.model_dump(mode="json")
    return (
        result.name == memory.name
        and result.task == task.name
        and result.settings.get("task") == task.model_dump(mode="json")
        and result.settings.get("shell") == wanted
    )


def _at(results: Sequence[Result], rate: float) -> bool:
    return any(abs(each.learning_rate / rate - 1) < 1e-6 for each in results)


def _rates(grid: Sequence[float], notches: int, results: Sequence[Result]) -> list[float]:
    """The grid, grown where the best of all its results lies at an edge."""
    rates = sorted(grid)
    for _ in range(notches if len(rates) > 1 else 0):
        here = [each for each in results if any(_at([each], rate) for rate in rates)]
        if len(here) < len(rates):
            break
        best, ratio = chosen(here).learning_rate, rates[1] / rates[0]
        if abs(best / rates[0] - 1) < 1e-6:
            rates.insert(0, rates[0] / ratio)
        elif abs(best / rates[-1] - 1) < 1e-6:
            rates.append(rates[-1] * ratio)
        else:
            break
    return rates
