"""Studies that are conducted in one process, trial by trial, with trainings that take no time."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import search_fake
import yaml

from miras.memory import Memory
from miras.result import Result
from miras.search import Study, load_study
from miras.search.engine import enter
from miras.search.ledger.ledger import Claim, Ledger
from miras.search.proposing.planner import Plan, Planner
from miras.search.trial.evaluation import Run, runs_of
from miras.search.workers.worker import recorded

STUDY: dict[str, Any] = {
    "space": {
        "architecture": {"kind": "matrix", "features": {"any": ["silu_l2", "l2", "elu1"]}},
        # of the numbers p some are refused
        "bias": {"any": ["l2", "dot", {"kind": "lp", "p": {"float": [1.0, 4.0]}, "guard": False}]},
        "retention": {"any": ["none", {"kind": "decay", "axis": {"any": ["scalar", "key"]}}, "lq"]},
        "optimizer": {"any": ["gd", "momentum", {"kind": "gd", "gradient_at": "previous"}]},
    },
    "tasks": ["mqar", "parity"],
    "baselines": ["deltanet"],
    "nulls": 0,
    "learning_rate": {"low": 1e-4, "high": 1e-1},
    "budget": {"trials": 60},
    "sampler": {"kind": "portfolio", "startup": 6},
}


def study(folder: Path, **changes: object) -> Study:
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}))
    return load_study(path)


Outcome = Callable[[Plan, Run], Result]


def good(plan: Plan, run: Run) -> Result:
    assert isinstance(plan.memory, Memory)
    return search_fake.trivial(study_of_nobody, plan.memory, run)


study_of_nobody: Any = Study.model_validate({**STUDY, "name": "nobody"})


def conduct(found: Study, ledger: Ledger, planner: Planner, outcome: Outcome = good) -> Plan | None:
    """One trial, in this process."""
    claim = ledger.claim("here/1.", below=found.budget.trials)
    assert claim is not None
    plan = planner.plan(claim)
    assert plan is not None
    results = [outcome(plan, run) for run in runs_of(found, plan.rates)]
    record = recorded(found, claim.slot, plan, results, None, 0.0)
    ledger.finish(claim.slot, claim.token, record.model_dump_json())
    return plan


def trace(folder: Path, trials: int, restarts: bool = False, **changes: object) -> list[str]:
    """What a study plans, trial by trial; with `restarts` a new process plans every one."""
    folder.mkdir()
    found = study(folder, **changes)
    plans: list[str] = []
    with Ledger(folder / "ledger.db") as ledger:
        enter(found, ledger, folder)
        planner = Planner(found, found.opened(), ledger)
        for _ in range(trials):
            if restarts:
                planner = Planner(found, found.opened(), ledger)
            plan = conduct(found, ledger, planner)
            assert plan is not None
            plans.append(plan.write())
    return plans


def interleaved(
    folder: Path, trials: int, workers: int, order: int, **changes: object
) -> list[str]:
    """The trace of several workers that begin, end and die in an order of chance."""
    folder.mkdir()
    found = study(folder, **changes)
    chance = random.Random(order)
    planners: list[Planner | None] = [None for _ in range(workers)]
    at_work: dict[int, tuple[Claim, Plan]] = {}
    with Ledger(folder / "ledger.db") as ledger:
        enter(found, ledger, folder)
        while any(row.state != "done" for row in ledger.slots()[:trials]):
            worker = chance.randrange(workers)
            if worker in at_work:
                claim, plan = at_work.pop(worker)
                if chance.random() < 0.2:  # it dies: what it had planned is there for the next one
                    ledger.release(f"here/{worker}.")
                    planners[worker] = None
                    continue
                results = [good(plan, run) for run in runs_of(found, plan.rates)]
                record = recorded(found, claim.slot, plan, results, None, 0.0)
                ledger.finish(claim.slot, claim.token, record.model_dump_json())
                continue
            claim = ledger.claim(f"here/{worker}.", below=trials, lag=found.lag)
            if claim is None:
                continue
            planner = planners[worker] or Planner(found, found.opened(), ledger)
            planners[worker] = planner
            plan = planner.plan(claim)
            assert plan is not None
            at_work[worker] = claim, plan
        return [row.plan or "" for row in ledger.slots()[:trials]]
