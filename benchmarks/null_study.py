"""How often does a confirmation call a memory better that is the baseline itself?

Finalists are the best baseline under other names: whatever sets them apart is chance. Their runs
have the noise of trainings and go through the same choice of learning rates, the same comparison
and the same correction as those of a real confirmation. Of many such studies at most 5 % may end
with a finalist that is called better.

`python -m miras.benchmarks.null_study --repeats 200`; with `--runs results.jsonl` of a sweep with
several seeds the noise is that of its runs.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from miras.known import known
from miras.lines import read
from miras.result import Result
from miras.search.confirmation.confirm import Confirm
from miras.search.confirmation.confirmation import OWN, Confirmation
from miras.search.confirmation.findings import differences
from miras.search.confirmation.sides import Sides
from miras.search.sweep.comparison import Sweep
from miras.search.sweep.standing import Place, Standing
from miras.statistics import wilson

TASKS = ("parity", "mqar", "selective_copy", "flip_flop")
TWINS = 3

Noise = Callable[[np.random.Generator], float]
"""Score of one run of the baseline, which is 0.6 on average, less 0.6."""


class Outcome(NamedTuple):
    """Null studies that ended with a finalist called better, or worse."""

    better: int
    worse: int
    repeats: int

    @property
    def share(self) -> float:
        """Of studies with a false discovery."""
        return self.better / self.repeats


def even(generator: np.random.Generator) -> float:
    """Noise of a task that is learned little by little."""
    return float(generator.normal(0.0, 0.05))


def jumps(generator: np.random.Generator) -> float:
    """Noise of a task that a run solves or not: 1 or 0.1, the first in 56 of 100 runs."""
    return (0.4 if generator.random() < 5 / 9 else -0.5) + float(generator.normal(0.0, 0.01))


def of_runs(results: Sequence[Result]) -> Noise:
    """Noise as runs have it that differ by their seed alone, stretched as their number asks."""
    groups: dict[tuple[str, str, float], list[float]] = {}
    for each in results:
        if each.status == "ok" and each.score is not None:
            place = (each.name, each.task, each.learning_rate)
            groups.setdefault(place, []).append(each.score)
    pool = [
        (score - fmean(group)) * (len(group) / (len(group) - 1)) ** 0.5
        for group in groups.values()
        if len(group) > 2
        for score in group
    ]
    if not pool:
        raise ValueError("these results have no memory with three seeds: run a sweep with more")
    return lambda generator: float(generator.choice(pool))


def plan_of(tasks: int, confirm: Confirm) -> Confirmation:
    """A confirmation of twins against the baseline that they are, and a second one."""
    twins = [known()["deltanet"].model_copy(update={"name": f"twin {n}"}) for n in range(TWINS)]
    baselines = ("deltanet", "gla")
    memories = (*twins, *(known()[name] for name in baselines))
    sweep = Sweep.model_validate(
        {
            "name": "null",
            "compare": [{"task": task, "memories": memories} for task in TASKS[:tasks]],
            "learning_rates": confirm.learning_rates,
            "notches": confirm.notches,
            "seeds": confirm.seeds,
            "rates_kept": confirm.rates_kept,
        }
    )
    return Confirmation(
        sweep=sweep,
        settings=(OWN,) * tasks,
        finalists={twin.name: number for number, twin in enumerate(twins)},
        baselines=baselines,
        neighbours={},
    )


def repeat(plan: Confirmation, noises: Sequence[Noise], seed: int) -> tuple[bool, bool]:
    """One null study: whether a twin was called better, and whether one was called worse."""
    generator = np.random.default_rng(seed)
    standing = Standing(plan.sweep)
    shared: dict[tuple[int, int], float] = {}
    while jobs := standing.needed():
        for job in jobs:
            comparison = plan.sweep.compare[job.comparison]
            name = comparison.entrants[job.memory].name
            at = (job.comparison, job.seed)
            if at not in shared:  # equal seeds have equal data: some are harder for everybody
                shared[at] = float(generator.normal(0.0, 0.02))
            merit = 0.6 - 0.1 * abs(np.log10(job.learning_rate / 3e-3)) - 0.1 * (name == "gla")
            score = float(merit + shared[at] + noises[job.comparison % len(noises)](generator))
            run = Result.model_construct(
                name=name,
                task=comparison.task.name,
                seed=job.seed,
                learning_rate=job.learning_rate,
                status="ok",
                score=score,
                validation=score + float(generator.normal(0.0, 0.01)),
            )
            standing.runs[Place(job.comparison, job.memory)].append(run)
    verdicts = [each.verdict for each in differences(Sides(plan, standing))]
    return "better" in verdicts, "worse" in verdicts


def null_studies(
    repeats: int, noises: Sequence[Noise], tasks: int = 4, confirm: Confirm | None = None
) -> Outcome:
    """So many null studies in a row."""
    plan = plan_of(tasks, confirm or Confirm())
    found = [repeat(plan, noises, seed) for seed in range(repeats)]
    return Outcome(sum(b for b, _ in found), sum(w for _, w in found), repeats)


def main() -> None:
    """Print the share of false discoveries for each noise and number of tasks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--runs", type=Path, help="results.jsonl of a sweep with several seeds")
    asked = parser.parse_args()
    kinds: dict[str, list[Noise]] = {"even": [even], "jumps": [jumps], "both": [even, jumps]}
    if asked.runs:
        kinds["runs"] = [of_runs(read(asked.runs, Result))]
    print("| noise | tasks | false better | 95 % interval | false worse |")
    print("| --- | --- | --- | --- | --- |")
    for name, noises in kinds.items():
        for tasks in (1, 4):
            found = null_studies(asked.repeats, noises, tasks)
            low, high = wilson(found.better, found.repeats)
            print(
                f"| {name} | {tasks} | {found.share:.1%} | {low:.1%} to {high:.1%} |"
                f" {found.worse / found.repeats:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
