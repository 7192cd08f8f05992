"""What a search finds is trained anew beside all known memories: who, where, and what it shows."""

from typing import Any

import pytest
from confirmation_cases import (
    HELD_OUT,
    candidate,
    done,
    names,
    outcome,
    study,
    told,
    trial,
    trials,
)

from miras.canonical import key
from miras.known import known, named
from miras.memory import Memory
from miras.model import Shell
from miras.result import Result
from miras.search import Study
from miras.search.confirmation.ablation import ablations
from miras.search.confirmation.confirm import Confirm
from miras.search.confirmation.confirmation import (
    BARE,
    OWN,
    Confirmation,
    confirmation,
    finalists,
    sweep_of,
)
from miras.search.confirmation.confirmation import (
    HELD_OUT as HELD,
)
from miras.search.confirmation.findings import findings
from miras.search.sweep import sweep
from miras.search.sweep.comparison import Job, Sweep
from miras.search.sweep.standing import Standing
from miras.stack import Stack

# Who is confirmed


def test_finalists_are_new_and_chosen_on_validation() -> None:
    about = study()
    chosen = finalists(about, trials(about))
    # #6 is known, #7 failed; #3 has the best mean, #4 the best tracking, #5 neither
    assert [each.number for each in chosen] == [3, 4, 5]
    lucky = trial(about, 8, "search", candidate(bias={"kind": "lp", "p": 1.5}), 0.2, 0.2)
    lucky = lucky.model_copy(update={"objectives": {"tracking": 9.0, "recall": 9.0}})
    assert lucky.number not in {each.number for each in finalists(about, [*trials(about), lucky])}
    assert len(finalists(study(confirm={"finalists": 1}), trials(about))) == 1


def of_deltanet(memory: Memory) -> dict[str, Memory]:
    """Its ablations by choice: of a memory each is one again."""
    found = ablations(memory, known()["deltanet"])
    return {each.slot: each.memory for each in found if isinstance(each.memory, Memory)}


def test_ablations_take_one_choice_of_the_neighbour() -> None:
    wiring = {"value": "silu", "skip": True}
    memory = candidate(retention={"kind": "decay", "gate": "mamba"}, wiring=wiring)
    found, deltanet = of_deltanet(memory), named("deltanet")
    assert isinstance(deltanet, Memory)
    assert set(found) == {"bias", "retention", "wiring"}
    assert found["wiring"].wiring == deltanet.wiring
    assert found["retention"].bias == memory.bias
    assert key(found["retention"]) == key(candidate(wiring=wiring))
    # what the grammar refuses, or what changes nothing, is left out
    (only,) = of_deltanet(candidate()).values()
    assert only.bias == deltanet.bias
    assert ablations(deltanet, deltanet) == []


def test_ablations_of_stacks_and_compositions() -> None:
    stack = Stack(pattern=(candidate(), known()["gla"]))
    slots = [each.slot for each in ablations(stack, known()["deltanet"])]
    assert {"layer 1 alone", "layer 2 alone", "bias"} <= set(slots)
    both = next(each for each in known().values() if len(getattr(each, "cells", ())) == 2)
    alone = [each for each in ablations(both, known()["deltanet"]) if "alone" in each.slot]
    assert alone and all(key(each.memory) != key(both) for each in alone)


def test_a_study_refuses_seeds_and_tasks_that_it_has_seen() -> None:
    with pytest.raises(ValueError, match="seed 0, which the search has seen"):
        study(confirm={"seeds": [0, 1001]})
    with pytest.raises(ValueError, match="parity, which the study searches on"):
        study(confirm={"held_out": ["parity"]})
    changed = study(confirm={"finalists": 1})
    assert changed.differences(study()) == []


# What is run


@pytest.fixture(scope="module")
def about() -> Study:
    return study(confirm={"held_out": [HELD_OUT], "shells": [{"dim": 96, "layers": 3}]})


@pytest.fixture(scope="module")
def plan(about: Study) -> Confirmation:
    found = confirmation(about, trials(about))
    assert found is not None
    return found


def test_known_memories_that_the_search_was_not_told_of_take_part() -> None:
    about = study(confirm={"known": ["kda"], "shells": [{"dim": 96, "layers": 3}]})
    found = confirmation(about, trials(about))
    assert found is not None and found.baselines == ("deltanet", "gla", "kda")
    places = [place for place, setting in enumerate(found.settings) if setting != OWN]
    assert places and all("kda" in names(found.sweep, place) for place in places)


def test_everybody_is_run_everywhere_on_equal_terms(about: Study, plan: Confirmation) -> None:
    size = "size 1 with dim 96 and 3 layers"
    assert plan.settings == (OWN, OWN, HELD, size, size, BARE, BARE)
    whole = {"#3 found", "#4 found", "#5 found", "deltanet", "gla", "gated-deltanet"}
    assert (
        set(names(plan.sweep, 2)) == set(names(plan.sweep, 4)) == set(names(plan.sweep, 6)) == whole
    )
    own = set(names(plan.sweep, 0))
    assert own >= whole and all(each.name in own for each in plan.ablations)
    # #3 differs from DeltaNet in its bias alone: without it, it is DeltaNet, which is there already
    assert [each.name for each in plan.ablations if each.finalist == "#3 found"] == ["deltanet"]
    assert plan.neighbours["#4 found"] == "gated-deltanet" not in plan.baselines
    assert [each.shell.conv for each in plan.sweep.compare] == [4, 4, 4, 4, 4, 0, 0]
    assert plan.sweep.compare[3].shell.dim == 96
    assert plan.sweep.seeds == (1001, 1002, 1003, 1004, 1005)
    assert plan.sweep.rates_kept == 1 and Confirm().rates_kept == 2
    assert plan.sweep.evaluations == about.evaluations
    assert sweep_of(about, trials(about)) == plan.sweep
    assert Confirmation.model_validate_json(plan.model_dump_json()) == plan
    assert confirmation(about, trials(about)[:3]) is None


def test_a_matched_shell_goes_with_its_memory() -> None:
    about = study(match={"like": "deltanet", "state_within": None}, confirm={"ablate": False})
    records = trials(about)
    shell = Shell(mlp_width=100).model_dump(mode="json")
    records[3] = records[3].model_copy(update={"shell": shell})
    found = confirmation(about, records[:4])
    assert found is not None
    own = found.sweep.compare[0]
    assert own.spec(own.entrants[0]).mlp_width == 100
    assert {"#3 found", "gla"} <= set(own.shells)
    moved = own.model_copy(update={"shells": {}})
    runs = [outcome(found.sweep, Job(0, 0, 0.01, 1001), 0.5)]
    assert Standing(found.sweep, runs).needed() != Standing(found.sweep, []).needed()
    other = found.sweep.model_copy(update={"compare": (moved,)})
    assert len(Standing(other, runs).needed()) == 2 * len(own.entrants)


def test_stacks_are_run_as_stacks() -> None:
    about = study(baselines=["gla"], evaluations=1, confirm={"ablate": False, "conv": False})
    stack = Stack(name="hybrid", pattern=(known()["deltanet"], known()["gla"]))
    found = confirmation(about, [trial(about, 2, "search", stack, 0.5, 0.5)])
    assert found is not None
    place = next(n for n, each in enumerate(found.sweep.compare[0].entrants) if "#2" in each.name)
    run = sweep.execute(found.sweep, Job(0, place, 0.001, 1001))
    assert run.status == "ok", run.reason
    assert (run.name, run.key) == ("#2 hybrid", key(stack))
    assert len(Standing(found.sweep, [run]).needed()) == len(Standing(found.sweep).needed()) - 1


def test_the_two_best_rates_go_on_and_the_mean_decides() -> None:
    plan = Sweep.model_validate(
        {
            "name": "s",
            "compare": [{"task": "parity", "memories": ["gla"]}],
            "learning_rates": [0.001, 0.01, 0.1],
            "seeds": [1, 2],
            "notches": 0,
            "rates_kept": 2,
        }
    )
    scores = {(0.001, 1): 0.8, (0.01, 1): 0.9, (0.1, 1): 0.1, (0.001, 2): 0.8, (0.01, 2): 0.1}
    found: list[Result] = []
    while jobs := Standing(plan, found).needed():
        found += [
            outcome(plan, job, 0.0).model_copy(
                update={"validation": scores[job.learning_rate, job.seed]}
            )
            for job in jobs
        ]
    assert len(found) == 5
    runs = Standing(plan, found).final(0)["gla"]
    assert [(run.learning_rate, run.seed) for run in runs] == [(0.001, 1), (0.001, 2)]


def test_the_floor_of_nulls_is_met_in_the_mean_of_the_search() -> None:
    """The search took the mean of its objectives alone: a further task is in the lead only."""

    def score(name: str, title: str, seed: int) -> float:
        return told(name, title, seed) + 0.1 * (title == "mqar" and name == "#3 found")

    about = study(objectives=["recall"])
    plan: Any = confirmation(about, trials(about))
    later = findings(about, trials(about), plan, Standing(plan.sweep, done(plan.sweep, score)))
    (point,) = (each for each in later if each.subject.startswith("10."))
    assert "The lead, +0.400 by mean of objectives" in point.sentence
