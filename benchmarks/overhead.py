"""What the engine itself costs: per trial, after so many trials, and to open a study again.

`python -m miras.benchmarks.overhead` fills ledgers with trials that nobody trained, and measures
some more from claim to the last file: the plan (with the search for a memory that is new), the
ledger, and what the parent writes. Goals: 100 / 250 / 600 ms after 100 / 1,000 / 5,000 trials, and
10 s to open 10,000. `--clock cpu` counts the time of the processor alone, for a busy machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import optuna

from miras.benchmarks.storm import TRAIN, result_of
from miras.search.engine import enter
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import alone
from miras.search.proposing.planner import Planner
from miras.search.sampler.random import Random
from miras.search.space.space import Space
from miras.search.study import Study
from miras.search.trial.evaluation import runs_of
from miras.search.trial.isolation import one_thread
from miras.search.workers.parent import Parent, Terms
from miras.search.workers.worker import recorded

GOALS = {100: 0.1, 1_000: 0.25, 5_000: 0.6}
OPEN, OPENED = 10_000, 10.0


Clock = Callable[[], float]


class Cost(NamedTuple):
    """Seconds of the parts of one trial."""

    plan: float
    ledger: float
    files: float

    @property
    def whole(self) -> float:
        """All of them."""
        return sum(self)


def study_of(space: str, sampler: str, trials: int) -> Study:
    """A study of that many trials on two tasks."""
    return Study.model_validate(
        {
            "name": "overhead",
            "space": space,
            "tasks": ["mqar", "parity"],
            "baselines": ["deltanet", "gated-deltanet"],
            "nulls": 0,
            "sampler": {"kind": sampler},
            "learning_rate": {"low": 1e-4, "high": 1e-1},
            "budget": {"trials": trials},
            "workers": 1,
        }
    )


class Bench:
    """A study in a folder that is filled and measured, worker and parent in one process."""

    def __init__(
        self, study: Study, space: Space, ledger: Ledger, parent: Parent, clock: Clock
    ) -> None:
        self.study, self.ledger, self.parent, self.clock = study, ledger, parent, clock
        self.planner = Planner(study, space, ledger)

    def trial(self, planner: Planner) -> Cost:
        """One trial and what it costs."""
        times = [self.clock()]
        claim = self.ledger.claim("bench/1.", below=self.study.budget.trials)
        if claim is None:
            raise RuntimeError("the study is too small for what is to be measured")
        times.append(self.clock())
        plan = planner.plan(claim)
        if plan is None:
            raise RuntimeError("the space is too small for what is to be measured")
        times.append(self.clock())
        results = [result_of(plan.memory, run) for run in runs_of(self.study, plan.rates)]
        times.append(self.clock())
        for number, result in enumerate(results):
            self.ledger.add_run(claim.slot, claim.token, number, result.model_dump_json())
        record = recorded(self.study, claim.slot, plan, results, None, 0.0)
        self.ledger.finish(claim.slot, claim.token, record.model_dump_json())
        times.append(self.clock())
        self.parent.follow()
        times.append(self.clock())
        steps = [after - before for before, after in pairwise(times)]
        return Cost(plan=steps[1], ledger=steps[0] + steps[3], files=steps[4])


def fill(study: Study, space: Space, ledger: Ledger, span: range) -> None:
    """Let these trials be done; candidates come from chance, which does not look back.

    What was asked of the rules of the grammar stays known, as in a worker that planned these.
    """
    chance = study.model_copy(update={"sampler": Random()})
    planner = Planner(chance, space, ledger)
    for number in span:
        claim = ledger.claim("bench/1.", below=study.budget.trials)
        plan = planner.plan(claim) if claim else None
        if claim is None or plan is None:
            raise RuntimeError(f"the space has no more than {number} memories")
        results = [result_of(plan.memory, run) for run in runs_of(study, plan.rates)]
        record = recorded(study, claim.slot, plan, results, None, 0.0)
        ledger.finish(claim.slot, claim.token, record.model_dump_json())


def measure(
    study: Study, space: Space, folder: Path, span: range, repeats: int, clock: Clock
) -> tuple[Cost, float]:
    """Mean cost of trials after those of a span are done, and seconds to open the study with them.

    The mean, because samplers take turns and one of them takes longer.
    """
    with alone(folder) as place, Ledger(place.ledger) as ledger:
        enter(study, ledger, folder)
        fill(study, space, ledger, span)
        Parent(study, ledger, place, TRAIN, Terms()).close()  # writes all that is done so far
    began = clock()
    with alone(folder) as place, Ledger(place.ledger) as ledger:
        enter(study, ledger, folder)
        parent = Parent(study, ledger, place, TRAIN, Terms())
        parent.follow()
        opened = clock() - began
        bench = Bench(study, space, ledger, parent, clock)
        bench.trial(bench.planner)  # reads the history: a worker does that once
        costs = [bench.trial(bench.planner) for _ in range(repeats)]
        parent.close()
    return Cost(*(fmean(each) for each in zip(*costs, strict=True))), opened


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, nargs="*", default=[*GOALS, OPEN])
    parser.add_argument("--space", default="everything")
    parser.add_argument("--sampler", default="portfolio")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    clock = time.process_time if given.clock == "cpu" else time.perf_counter
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    one_thread()  # as in a worker
    measured = sorted(given.trials)
    own = given.repeats + 1
    if not measured or any(after - before < own for before, after in pairwise(measured)):
        parser.error(f"--trials wants numbers at least {own} apart, of --repeats and one more")
    study = study_of(given.space, given.sampler, measured[-1] + own)  # the last one's budget
    space, there = study.opened(), 0
    with tempfile.TemporaryDirectory() as folder:
        for trials in measured:
            span = range(there, trials)
            cost, opened = measure(study, space, Path(folder), span, given.repeats, clock)
            there = trials + own
            print(_told(trials, cost, opened), flush=True)


def _told(trials: int, cost: Cost, opened: float) -> str:
    """One line of what was measured, with the goals beside it."""
    goal = f", goal {1000 * GOALS[trials]:.0f} ms" if trials in GOALS else ""
    parts = f"plan {1000 * cost.plan:.0f}, ledger {1000 * cost.ledger:.0f}"
    return (
        f"after {trials} trials: {1000 * cost.whole:.0f} ms per trial{goal}"
        f" ({parts}, files {1000 * cost.files:.0f}); opened in {opened:.1f} s"
        + (f", goal {OPENED:.0f} s" if trials == OPEN else "")
    )


if __name__ == "__main__":
    main()
