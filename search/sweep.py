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
from statistics import fmean, stdev
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from miras.known import expand
from miras.load import load
from miras.memory import Memory
from miras.model import ModelSpec, Shell
from miras.part import Part
from miras.result import Result, TrialRecord, append, read
from miras.tasks import AnyTask, Task

AnyMemory = Annotated[Memory, BeforeValidator(expand)]

RESULTS = "results.jsonl"
TRIALS = "trials.jsonl"


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
            mine, first, missing = _progress(sweep, results, comparison, memory)
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


def _progress(
    sweep: Sweep, results: Sequence[Result], comparison: Comparison, memory: Memory
) -> tuple[list[Result], list[Result], list[float]]:
    """The runs of a memory, those on the first seed, and the rates still to be tried on it."""
    mine = [each for each in results if _same(each, memory, comparison)]
    first = [each for each in mine if each.seed == sweep.seeds[0]]
    grid = comparison.learning_rates or sweep.learning_rates
    rates = _rates(grid, sweep.notches, first)
    return mine, first, [rate for rate in rates if not _at(first, rate)]


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
        (folder / "README.md").write_text(summary(sweep, results))
        (folder / TRIALS).unlink(missing_ok=True)
        for record in records(sweep, results):
            append(folder / TRIALS, record)
    return results


def final(
    sweep: Sweep, results: Sequence[Result], comparison: Comparison, memory: Memory
) -> list[Result]:
    """The runs of a memory at its chosen rate, by seed; empty while the rate is not chosen."""
    mine, first, missing = _progress(sweep, results, comparison, memory)
    if missing:
        return []
    rate = chosen(first).learning_rate
    return sorted((each for each in mine if _at([each], rate)), key=lambda each: each.seed)


def summary(sweep: Sweep, results: Sequence[Result]) -> str:
    """A Markdown page: for each task the memories with their test scores over seeds."""
    lines = [f"# {sweep.name}", "", sweep.description, ""]
    for comparison in sweep.compare:
        shell = ", ".join(
            f"{name} {value}" for name, value in comparison.shell.model_dump().items()
        )
        lines += [f"## {comparison.task.name}", "", f"Shell: {shell}.", ""]
        wanted: list[str] = []
        rows: list[str] = []
        for memory in comparison.memories:
            runs = final(sweep, results, comparison, memory)
            if not runs:
                rows.append(f"| {memory.name} | not finished |")
                continue
            shown = [name for name in runs[0].metrics if name.startswith(("accuracy", "bits"))]
            wanted = wanted or shown
            cells = [_spread([run.metrics.get(name) for run in runs]) for name in wanted]
            scores = _spread([run.score for run in runs])
            rate, floats = f"{runs[0].learning_rate:g}", str(runs[0].state_floats)
            seeds = str(len(runs))
            rows.append(
                " | ".join(["| " + memory.name, rate, floats, seeds, scores, *cells]) + " |"
            )
        head = ["memory", "rate", "state floats", "seeds", "score", *wanted]
        lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *rows, ""]
    lines += [
        "Test split. Mean and standard deviation over seeds; the learning rate was chosen on the"
        " first seed by the validation score. State floats are per layer, the short convolution's"
        " included.",
        "",
    ]
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not numbers:
        return "diverged"
    return f"{fmean(numbers):.3f}" + (f" ± {stdev(numbers):.3f}" if len(numbers) > 1 else "")


def records(sweep: Sweep, results: Sequence[Result]) -> list[TrialRecord]:
    """One record per memory with its final runs on all tasks, as the figures read them."""
    found: dict[str, list[Result]] = {}
    for comparison in sweep.compare:
        for memory in comparison.memories:
            found.setdefault(memory.name, []).extend(final(sweep, results, comparison, memory))
    return [
        TrialRecord(
            study=sweep.name,
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
        for number, (name, runs) in enumerate(found.items())
        if runs
    ]


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
    """Whether a run is of this memory, task and shell; fields of later versions are defaults."""
    task: Task = comparison.task
    if (result.name, result.task) != (memory.name, task.name):
        return False
    shell: Any = result.settings.get("shell")
    try:
        spec = ModelSpec.model_validate({**shell, "pattern": [memory]})
        return (
            spec == ModelSpec.of(comparison.shell, [memory])
            and type(task).model_validate(result.settings.get("task")) == task
            and Memory.model_validate(result.memory) == memory
        )
    except (ValueError, TypeError):  # made by a version with other fields
        return False


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
