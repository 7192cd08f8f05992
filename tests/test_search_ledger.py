"""The ledger, and what is planned from it."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from search_conduct import conduct, study, trace

from miras.canonical import key
from miras.part import SpecError
from miras.search.engine import enter
from miras.search.ledger.ledger import Claim, LeaseLost, Ledger
from miras.search.proposing.planner import Planner
from miras.search.proposing.proposing import study_of


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as found:
        yield found


def test_trace_depends_on_the_seed_alone(tmp_path: Path) -> None:
    first = trace(tmp_path / "one", 20)
    assert trace(tmp_path / "two", 20, restarts=True) == first
    other = trace(tmp_path / "three", 20, seed=1)
    assert other[0] == first[0] and not set(other[1:]) & set(first[1:])


def test_random_arm_does_not_look_back(tmp_path: Path) -> None:
    """Chance proposes the same whatever the rest of the study does, if it is not taken already."""
    alone = trace(tmp_path / "one", 21, sampler={"kind": "portfolio", "random": 1.0})
    beside = trace(tmp_path / "two", 21)
    taken: set[int] = set()
    for folder in ("one", "two"):
        with Ledger(tmp_path / folder / "ledger.db") as ledger:
            taken |= {each.slot for each in ledger.refusals() if each.rule == "duplicate"}
    randoms = [at for at, plan in enumerate(beside) if json.loads(plan)["origin"] == "random"]
    assert len(randoms) == 3 and set(randoms) - taken
    assert all(beside[at] == alone[at] for at in randoms if at not in taken)


def test_history_shows_samplers_what_happened(tmp_path: Path, ledger: Ledger) -> None:
    found = study(tmp_path, seeds=[0], sampler="tpe")
    enter(found, ledger, tmp_path)
    planner = Planner(found, found.opened(), ledger)
    for _ in range(12):
        conduct(found, ledger, planner)
    claim = ledger.claim("here/1.", below=60)
    assert claim is not None and (running := planner.plan(claim)) is not None
    past = planner.history.before(claim.slot)
    arm = found.sampler.arm(0, planner.ground)
    history = study_of(past.trials, arm, ["maximize", "maximize"])
    states = [trial.state.name for trial in history.trials]
    refused = ledger.count_refusals()
    assert states.count("COMPLETE") == 11  # the known memory was chosen by nobody
    assert states.count("PRUNED") == past.refused == refused.get("T15", 0) > 0
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
    assert [ledger.record(slot) for slot in ledger.untold()] == ["{}"]


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
