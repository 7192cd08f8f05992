"""The ledger, and what is planned from it."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import search_fake
import yaml

from miras.canonical import key
from miras.part import SpecError
from miras.result import Result
from miras.search import Study, load_study
from miras.search.engine import enter
from miras.search.evaluation import Run, runs_of
from miras.search.ledger import Claim, LeaseLost, Ledger
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


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as found:
        yield found


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


def test_trace_depends_on_the_seed_alone(tmp_path: Path) -> None:
    first = trace(tmp_path / "one", 20)
    assert trace(tmp_path / "two", 20, restarts=True) == first
    other = trace(tmp_path / "three", 20, seed=1)
    assert other[0] == first[0] and not set(other[1:]) & set(first[1:])


def test_random_arm_does_not_look_back(tmp_path: Path) -> None:
    """Chance proposes the same whatever the rest of the study does, if it is not taken already."""
    alone = trace(tmp_path / "one", 16, sampler={"kind": "portfolio", "random": 1.0})
    beside = trace(tmp_path / "two", 16)
    with Ledger(tmp_path / "two" / "ledger.db") as ledger:
        taken = {each.slot for each in ledger.refusals() if each.rule == "duplicate"}
    randoms = [at for at, plan in enumerate(beside) if json.loads(plan)["origin"] == "random"]
    assert len(randoms) == 3 and set(randoms) - taken
    assert all(beside[at] == alone[at] for at in randoms if at not in taken)


def test_search_leaves_what_diverges(tmp_path: Path, ledger: Ledger) -> None:
    """One of two losses diverges, and the other is better with a small rate."""

    def outcome(plan: Plan, run: Run) -> Result:
        result = good(plan, run)
        if plan.choices.get("bias") == "lp":
            return result.model_copy(update={"status": "diverged", "score": None})
        return result.model_copy(update={"validation": 1.0 - 10 * run.rate})

    losses = [
        {"kind": "l1", "smoothing": {"float": [1e-4, 1e-1, "log"]}},
        {"kind": "lp", "p": {"float": [1.0, 3.0]}},
    ]
    space = STUDY["space"] | {"bias": {"any": losses}}
    found = study(tmp_path, space=space, sampler={"kind": "tpe", "startup": 10})
    enter(found, ledger, tmp_path)
    planner = Planner(found, found.opened(), ledger)
    plans = [conduct(found, ledger, planner, outcome) for _ in range(60)]
    late = [plan for plan in plans[40:] if plan is not None]
    bad = sum(plan.choices["bias"] == "lp" for plan in late)
    rates = sorted(plan.rates[0] for plan in late)
    assert bad <= 0.3 * len(late)  # by chance half
    assert rates[len(rates) // 2] < 1.5e-3  # by chance the median would be 3e-3


def test_history_shows_samplers_what_happened(tmp_path: Path, ledger: Ledger) -> None:
    found = study(tmp_path, seeds=[0], sampler="tpe")
    enter(found, ledger, tmp_path)
    planner = Planner(found, found.opened(), ledger)
    for _ in range(12):
        conduct(found, ledger, planner)
    claim = ledger.claim("here/1.", below=60)
    assert claim is not None and (running := planner.plan(claim)) is not None
    history, misfits = planner.history(found.sampler.arm(0))
    states = [trial.state.name for trial in history.trials]
    refused = ledger.count_refusals()
    assert states.count("COMPLETE") == 11  # the known memory was chosen by nobody
    assert states.count("PRUNED") == misfits == refused.get("T15", 0) > 0
    assert [t.params for t in history.trials if t.state.name == "RUNNING"] == [running.choices]
    for trial in history.trials:
        if trial.state.name == "PRUNED":
            assert trial.constraints == {"invalid": 1.0} and len(trial.params) >= 5
    assert len(history.directions) == 2
    # The four slots and the rate are in every trial: what a sampler can model together.
    joint = optuna.search_space.intersection_search_space(history.trials)
    assert {"bias", "retention", "optimizer", "learning_rate"} <= joint.keys()


def test_a_trial_taken_over_trains_the_same(tmp_path: Path, ledger: Ledger) -> None:
    found = study(tmp_path)
    enter(found, ledger, tmp_path)
    planner = Planner(found, found.opened(), ledger)
    conduct(found, ledger, planner)
    first = ledger.claim("here/1.", below=60)
    assert first is not None
    plan = planner.plan(first)
    ledger.add_run(first.slot, first.token, 0, "a result")
    assert ledger.release("here/2.") == [] and ledger.release("here/1.") == [first.slot]
    second = ledger.claim("here/2.", below=60)
    assert second is not None and second.slot == first.slot and second.token > first.token
    assert Planner(found, found.opened(), ledger).plan(second) == plan
    assert ledger.runs(second.slot) == {0: "a result"}


def test_an_old_token_changes_nothing(tmp_path: Path, ledger: Ledger) -> None:
    enter(study(tmp_path), ledger, tmp_path)
    old = ledger.claim("here/1.", below=60, lease=-1.0)  # over as soon as it begins
    new = ledger.claim("here/2.", below=60)
    assert old is not None and new is not None and old.slot == new.slot == 0
    actions: list[Callable[[Claim], object]] = [
        lambda claim: ledger.renew(claim.slot, claim.token),
        lambda claim: ledger.plan(claim.slot, claim.token, "key", "{}"),
        lambda claim: ledger.add_run(claim.slot, claim.token, 0, "{}"),
        lambda claim: ledger.crashed(claim.slot, claim.token),
        lambda claim: ledger.finish(claim.slot, claim.token, "{}"),
    ]
    for action in actions:
        with pytest.raises(LeaseLost):
            action(old)
        action(new)
    with pytest.raises(LeaseLost):
        ledger.finish(new.slot, new.token, "again")  # once is enough
    assert [slot.record for slot in ledger.untold()] == ["{}"]


def test_claims_never_meet(tmp_path: Path) -> None:
    """Four threads, each with a connection of its own, share out trials and keys."""
    found = study(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        enter(found, ledger, tmp_path)
    claimed: list[int] = []
    owners: list[int | None] = []

    def work(name: str) -> None:
        with Ledger(tmp_path / "ledger.db") as mine:
            while (claim := mine.claim(name, below=60)) is not None:
                claimed.append(claim.slot)
                owners.append(mine.plan(claim.slot, claim.token, f"key {claim.slot % 10}", "{}"))
                mine.finish(claim.slot, claim.token, "{}")

    threads = [threading.Thread(target=work, args=(f"here/{i}.",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(60))
    assert owners.count(None) == 10


def test_claims_stop_at_the_budget(tmp_path: Path, ledger: Ledger) -> None:
    enter(study(tmp_path), ledger, tmp_path)
    assert ledger.claim("here/1.", below=1) is not None
    assert ledger.claim("here/1.", below=1) is None


def test_baselines_own_their_keys_from_the_start(tmp_path: Path, ledger: Ledger) -> None:
    """A candidate cannot be planned as what a known memory is about to be."""
    found = study(tmp_path)
    enter(found, ledger, tmp_path)
    baseline, candidate = (ledger.claim("here/1.", below=60) for _ in range(2))
    assert baseline is not None and candidate is not None
    planner = Planner(found, found.opened(), ledger)
    plan = planner.plan(baseline)
    assert plan is not None and plan.origin == "baseline" and len(plan.rates) == 3
    taken = ledger.plan(candidate.slot, candidate.token, key(plan.memory), "{}")
    assert taken == baseline.slot == 0


def test_resumed_study_must_be_the_same(tmp_path: Path, ledger: Ledger) -> None:
    enter(study(tmp_path), ledger, tmp_path)
    enter(study(tmp_path, workers=7, budget={"trials": 70}, description="x"), ledger, tmp_path)
    assert ledger.states(100)["open"] == 70
    for changes in ({"seed": 3}, {"tasks": ["mqar"]}, {"shell": {"dim": 32}}):
        with pytest.raises(SpecError, match=f"another {next(iter(changes))}"):
            enter(study(tmp_path, **changes), ledger, tmp_path)
