"""Studies that are conducted in one process, trial by trial, with trainings that take no time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import search_fake
import yaml

from miras.result import Result
from miras.search import Study, load_study
from miras.search.engine import enter
from miras.search.evaluation import Run, runs_of
from miras.search.ledger import Ledger
from miras.search.planner import Plan, Planner
from miras.search.worker import recorded

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
