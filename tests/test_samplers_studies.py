"""Samplers in studies: what they see of a history, and what depends on a lag."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sampler_cases import (
    PLAIN,
    TALL,
    UP,
    ground,
)
from search_conduct import STUDY, Ledger, conduct, good, interleaved, study, trace

from miras.canonical import key
from miras.known import known
from miras.memory import Memory
from miras.result import TrialRecord
from miras.search.engine import enter
from miras.search.proposing.ground import Choices, Ground, written
from miras.search.proposing.history import finished, frozen
from miras.search.proposing.planner import Plan, Planner, ground_of, remarks
from miras.search.proposing.proposing import fewer, study_of
from miras.search.proposing.variation import varied
from miras.search.sampler import Turn
from miras.search.sampler.brute import Brute
from miras.search.sampler.evolution import RUNG, SCORES, Evolution
from miras.search.sampler.nsga2 import Nsga2
from miras.search.space.asking import LEARNING_RATE
from miras.search.space.choosers import FromChoices, FromRandom
from miras.search.space.derive import build, derivations, derive
from miras.search.space.space import Space
from miras.search.trial.evaluation import Run, runs_of, worth
from miras.search.workers.worker import recorded


def memories(tmp_path: Path) -> tuple[Any, Space, Ground]:
    found = study(tmp_path)
    space = found.opened()
    return found, space, ground_of(found, space)


def test_changes_make_derivations_that_replay(tmp_path: Path) -> None:
    """Whatever is changed, the rest stays, and what comes of it can be repeated."""
    found, space, memory_ground = memories(tmp_path)
    generator = np.random.default_rng(0)
    for on, count in ((ground(TALL), 300), (memory_ground, 40)):
        known = on.derive(FromRandom(generator), True)
        for _ in range(count):
            child = varied(on, known, 1, generator)
            assert on.derive(FromChoices(child), False) == child
            both = {name for name in child if name in known}
            if on is not memory_ground:
                # one change, or several that all stand below the place that was regrown
                moved = [name for name in both if child[name] != known[name]]
                assert any(all(f"{m}.".startswith(f"{p}.") for m in moved) for p in known)
            known = child
    made = derive(space, FromChoices(known), found.searched_rates, narrow=False)
    assert isinstance(build(made.spec), Memory | tuple)


def test_the_search_begins_where_its_baselines_stand(tmp_path: Path) -> None:
    """Those that the space has are trials with the choices that make them, at their best rate."""
    for lag in (0, 3):
        folder = tmp_path / str(lag)
        folder.mkdir()
        names = ["softmax-attention", "deltanet"]  # the first is not in this space
        space = STUDY["space"] | {"wiring": {"value": "silu"}}
        found = study(folder, space=space, baselines=names, nulls=1, lag=lag)
        with Ledger(folder / "ledger.db") as ledger:
            enter(found, ledger, folder)
            planner = Planner(found, found.opened(), ledger)
            for _ in range(3):
                conduct(found, ledger, planner)
            past = [planner.history.before(slot) for slot in range(3, 6)]
            record = TrialRecord.model_validate_json(ledger.slots()[1].record or "")
        assert not record.choices
        # with a lag of 3 what came of slot 1 is known from slot 4 on
        shown = [1, 1, 1] if lag == 0 else [0, 1, 1]
        assert [len(each.trials) for each in past] == shown
        assert [len(each.seen) for each in past] == shown  # so that nobody proposes it
        (told,) = past[2].trials
        assert written(told.params | {"learning_rate": 0.02}) in past[2].seen
        made = build(derive(found.opened(), FromChoices(told.params), found.searched_rates).spec)
        assert isinstance(made, Memory) and key(made) == key(known()["deltanet"]) == record.key
        assert told.params["learning_rate"] == record.learning_rate
        scores = worth(found, record)
        assert told.state == TrialState.COMPLETE and told.values == list(scores.values())


def test_a_baseline_that_no_candidate_could_be_is_not_shown(tmp_path: Path) -> None:
    space = {"use": "softmax-attention", "architecture": {"any": ["kv", "matrix"]}}
    for match, known_to_all in ((None, True), ({"like": "gated-deltanet"}, False)):
        found = study(tmp_path, space=space, baselines=["softmax-attention"], match=match)
        with Ledger(tmp_path / "ledger.db") as ledger:
            planner = Planner(found, found.opened(), ledger)
            assert (planner.history.start(0) is not None) == known_to_all
            assert planner.history.start(1) is None  # a null, or a candidate


def test_tpe_leaves_memories_that_diverge(tmp_path: Path) -> None:
    """The same through a ledger: one of two losses diverges, the other likes small rates."""

    def outcome(plan: Plan, run: Run) -> Any:
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
    with Ledger(tmp_path / "ledger.db") as ledger:
        enter(found, ledger, tmp_path)
        planner = Planner(found, found.opened(), ledger)
        plans = [conduct(found, ledger, planner, outcome) for _ in range(60)]
    late = [plan for plan in plans[40:] if plan is not None]
    assert sum(plan.choices["bias"] == "lp" for plan in late) <= 0.3 * len(late)
    rates = sorted(plan.rates[0] for plan in late)
    assert rates[len(rates) // 2] < 1.5e-3  # by chance the median would be 3e-3


def test_brute_on_memories_misses_none(tmp_path: Path) -> None:
    """All that the grammar allows, and next to nothing else."""
    bias = {"any": ["l2", "dot", {"kind": "lp", "p": {"any": [1.5, 3.0]}, "guard": False}]}
    found = study(tmp_path, space=STUDY["space"] | {"bias": bias}, learning_rate=3e-3)
    space = found.opened()
    every = [name for _, name in Brute().every(ground_of(found, space))]
    good_ones = {
        written(each.choices) for each in derivations(space) if isinstance(build(each.spec), Memory)
    }
    brute = set(every)
    assert len(brute) == len(every) and good_ones <= brute and len(good_ones) > 20
    assert len(brute) < 1.2 * len(good_ones)


def test_brute_takes_the_middle_of_searched_rates(tmp_path: Path) -> None:
    found = study(tmp_path, learning_rate={"low": 1e-4, "high": 1e-2})
    on = ground_of(found, found.opened())
    several = [choices for choices, _ in Brute(points=3).every(on)]
    assert [choices[LEARNING_RATE] for choices in several] == [pytest.approx(1e-3)] * len(several)
    assert len({written(choices) for choices in several}) == len(several)


def test_parents_are_trained_ones_alone() -> None:
    on = ground(PLAIN)
    generator = np.random.default_rng(0)

    def choices() -> Choices:
        return on.derive(FromRandom(generator), True)

    running = [frozen(on, choices()) for _ in range(5)]
    bad = [frozen(on, choices(), bad="diverged") for _ in range(20)]
    best = frozen(on, dict.fromkeys(("one", "two", "three", "four"), "d"), [1.0])
    evolution = Evolution(startup=1, crossover=0.0)
    for seed in range(20):
        child = evolution.child(
            on, np.random.default_rng(seed), [UP], [*bad, best, *running], Turn(0)
        )
        assert sum(value == "d" for value in child.values()) >= 2  # at most two were changed


def test_evolution_draws_by_chance_before_enough_is_known() -> None:
    on, generator = ground(PLAIN), np.random.default_rng(0)
    good_one = frozen(on, dict.fromkeys(("one", "two", "three", "four"), "d"), [1.0])
    refused = [frozen(on, on.derive(FromRandom(generator), True), bad="invalid")] * 3
    diverged = [frozen(on, on.derive(FromRandom(generator), True), bad="diverged")] * 3
    lost = [optuna.trial.create_trial(state=TrialState.FAIL)] * 9
    evolution = Evolution(startup=4, crossover=0.0)

    def inherits(*trials: Any) -> bool:
        """Whether children are of the one good parent: of chance few would have two d of four."""
        children = [
            evolution.child(on, np.random.default_rng(seed), [UP], trials, Turn(seed, refused=3))
            for seed in range(20)
        ]
        return all(sum(value == "d" for value in child.values()) >= 2 for child in children)

    assert inherits(good_one, *diverged, *refused)
    assert not inherits(good_one, *diverged[1:], *refused, *lost)
    assert not inherits(*diverged, *diverged, *refused)  # nobody to inherit from


def test_stopped_trials(tmp_path: Path) -> None:
    found, space, on = memories(tmp_path)
    made = derive(space, FromRandom(np.random.default_rng(3)), found.searched_rates)
    memory = build(made.spec)
    assert isinstance(memory, Memory)
    plan = Plan("search", memory, made.choices, (made.learning_rate or 0.0,))
    first = [good(plan, run) for run in runs_of(found, plan.rates)][:1]
    record = recorded(found, 4, plan, first, None, 0.0)
    record = TrialRecord.model_validate(
        record.model_dump() | {"status": "stopped", "rung": 1, "reason": ""}
    )
    seen = finished(found, on, record)
    assert seen.state == TrialState.PRUNED and not seen.constraints
    assert seen.user_attrs[SCORES] == {"recall": first[0].validation} and seen.user_attrs[RUNG] == 1
    history = study_of([seen], found.sampler.arm(0, on), ["maximize", "maximize"])
    assert Evolution(startup=1).child(
        on, np.random.default_rng(0), [UP, UP], history.trials, Turn(0)
    )


def test_a_few_trials_stand_for_many() -> None:
    on = ground(PLAIN)
    trials = [frozen(on, {}, [float(-abs(place - 30))]) for place in range(100)]
    trials[50] = frozen(on, {}, None)  # it runs
    kept = [trials.index(each) for each in fewer(trials, 20, [UP])]
    assert len(kept) == 21 and kept == sorted(kept) and 50 in kept
    assert {28, 29, 30, 31, 32} <= set(kept) and set(range(85, 100)) <= set(kept)
    busy = [frozen(on, {}, [float(place)]) for place in range(19)]
    busy += [frozen(on, {}, None) for _ in range(8)]
    assert fewer(busy, 20, [UP]) == busy  # no more than 20 of them have ended
    both = [frozen(on, {}, [float(p % 10), float(p // 10)]) for p in range(100)]
    assert 99 in [both.index(each) for each in fewer(both, 8, [UP, UP])]


def test_generations_are_of_completed_trials() -> None:
    on = ground(PLAIN)
    trials = [
        frozen(on, {}, [1.0]) if place % 3 else frozen(on, {}, bad="diverged")
        for place in range(20)
    ]
    arm = Nsga2(population=4).arm(0, on)
    found = study_of(trials, arm, ["maximize"]).trials
    counted = [each.system_attrs.get("NSGAIISampler:generation") for each in found]
    assert [each for each in counted if each is not None] == sorted([0, 1, 2] * 4 + [3])
    assert all(each is None for each in counted[::3])


def test_lag_gives_one_trace(tmp_path: Path) -> None:
    """The same for 1, 2 and 4 workers that end in any order, die and are replaced."""
    serial = interleaved(tmp_path / "0", 16, 1, order=0, lag=4)
    for place, (workers, order) in enumerate(((1, 5), (2, 1), (4, 2)), 1):
        assert interleaved(tmp_path / str(place), 16, workers, order, lag=4) == serial
    other = trace(tmp_path / "none", 16)
    assert [json.loads(plan)["choices"] for plan in serial] != [
        json.loads(plan)["choices"] for plan in other
    ]


def test_lag_looks_no_further(tmp_path: Path) -> None:
    found = study(tmp_path, lag=3)
    with Ledger(tmp_path / "ledger.db") as ledger:
        enter(found, ledger, tmp_path)
        planner = Planner(found, found.opened(), ledger)
        for _ in range(8):
            conduct(found, ledger, planner)
        states = [each.state.name for each in planner.history.before(6).trials]
        shown = [state for state in states if state != "PRUNED"]
        assert shown == ["COMPLETE"] * 3 + ["RUNNING"] * 2  # 1 to 3; 4 and 5; 0 was known before
        claim = ledger.claim("here/0.", below=10, lag=3)
        assert claim is not None and claim.slot == 8
        assert ledger.claim("here/1.", below=10, lag=3) is None  # 8 has no plan yet


def test_remarks_of_a_study(tmp_path: Path) -> None:
    found, space, _ = memories(tmp_path)
    assert remarks(found, space) == ()
    assert "brute" in remarks(found.model_copy(update={"sampler": Brute()}), space)[0]
