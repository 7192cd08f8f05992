"""Matched memories have the numbers that were wanted; what cannot is refused with a sentence."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from miras.cost import parameters_without_embedding
from miras.known import known
from miras.model import Model, ModelSpec, Shell
from miras.search.proposing.planner import Plan
from miras.search.space.derive import Refusal
from miras.search.study import Study
from miras.search.trial import apart, isolation, measuring
from miras.search.trial.matching import Fit, Match, solve, target
from miras.search.trial.measuring import measure
from miras.stack import Stack, layers_of

SHELL = Shell(dim=32, layers=3, heads=2)
LIKE = Match(like="gated-deltanet")
LENGTH = 32


def built(fit: Fit) -> tuple[int, int]:
    model = Model(ModelSpec.of(fit.shell, layers_of(fit.candidate)), 7)
    return parameters_without_embedding(model), model.state_floats(LENGTH)


def test_the_reference_is_matched_by_itself():
    fit = solve(LIKE, known()["gated-deltanet"], SHELL, LENGTH)
    assert isinstance(fit, Fit)
    assert fit.shell == SHELL and fit.candidate == known()["gated-deltanet"]
    assert built(fit) == target(LIKE, SHELL, LENGTH) == fit.sizes[:2]


@pytest.mark.parametrize("name", ["gla", "titans-lmm", "gsa", "deltanet", "mingru"])
def test_numbers_of_the_model_that_is_trained(name: str):
    fit = solve(LIKE, known()[name], SHELL, LENGTH)
    assert isinstance(fit, Fit), fit
    parameters, state = built(fit)
    wanted, floats = target(LIKE, SHELL, LENGTH)
    assert (parameters, state) == fit.sizes[:2]
    assert abs(parameters / wanted - 1) <= 0.02
    assert floats and state <= 1.1 * floats
    assert name == "mingru" or state >= 0.9 * floats


def test_a_pattern_counts_every_layer():
    names = ("gla", "mingru")
    stack = Stack(pattern=tuple(known()[name] for name in names))  # pyright: ignore
    model = Model(ModelSpec.of(SHELL, layers_of(stack)), 7)
    count = measure(stack, SHELL, LENGTH)
    assert count[:2] == (parameters_without_embedding(model), model.state_floats(LENGTH))


def test_a_state_that_grows_is_for_references():
    attention = known()["softmax-attention"]
    refused = solve(LIKE, attention, SHELL, LENGTH)
    assert isinstance(refused, Refusal) and refused.rule == "match"
    assert "grows" in refused.sentence and "\n" not in refused.sentence
    assert isinstance(solve(LIKE, attention, SHELL, LENGTH, reference=True), Fit)
    for length in (2, 6, 9, 16):  # however short the sequences
        assert measuring.measure(attention, SHELL, length).grows


def test_absolute_numbers_and_what_cannot_be():
    wanted = Match(parameters=30_000, state_floats=600)
    fit = solve(wanted, known()["gla"], SHELL, LENGTH)
    assert isinstance(fit, Fit) and abs(built(fit)[0] / 30_000 - 1) <= 0.02
    none = solve(Match(parameters=900), known()["gla"], SHELL, LENGTH)
    assert isinstance(none, Refusal) and "900" in none.sentence
    with pytest.raises(ValueError, match="no such memory"):
        Match(like="nobody")
    with pytest.raises(ValueError, match="needs like"):
        Match()


def test_a_plan_holds_what_was_matched():
    fields = {"shell": SHELL, "tasks": [{"kind": "parity"}], "budget": {"trials": 1}}
    study = Study.model_validate({"space": "quickstart", "match": LIKE, "name": "s", **fields})
    plan = Plan("search", known()["titans-lmm"], {}, (0.01,))
    matched = plan.matched(study, LENGTH)
    assert isinstance(matched, Plan)
    again = Plan.read(matched.write())
    shell = again.within(study).shell
    assert again == matched and shell.mlp_width is not None
    assert Plan("baseline", known()["softmax-attention"], {}, ()).matched(study, LENGTH)
    refused = Plan("search", known()["softmax-attention"], {}, ()).matched(study, LENGTH)
    assert isinstance(refused, Refusal)
    free = study.model_copy(update={"match": None})
    assert plan.matched(free, LENGTH) == plan and plan.within(free) == free


# Within limits


def bounded(**limits: object) -> apart.Apart:
    fields = {"tasks": [{"kind": "parity"}], "budget": {"trials": 1}, "limits": limits}
    return apart.Apart(Study.model_validate({"space": "quickstart", "match": LIKE, **fields}))


def spin() -> None:
    while True:
        pass


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("does", "limits", "said"),
    [
        (spin, {"seconds": 1.2}, "not found within 0.3 s, 25% of the longest that a run may take"),
        (lambda: torch.empty(2**32), {"memory_gib": 8.0}, "does not fit into the memory"),
        (die, {}, "died of signal 9, 3 times"),
    ],
)
def test_a_candidate_that_goes_over_the_limits_is_refused(
    does: Callable[[], object], limits: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_CACHE", {})
    target(LIKE, SHELL, LENGTH)  # measured here, and known to the other process
    monkeypatch.setattr(measuring, "_count", lambda *_: does())
    with bounded(**limits).used():
        found = solve(LIKE, known()["gla"], SHELL, LENGTH)
    assert isinstance(found, Refusal) and found.rule == "match" and said in found.sentence


def test_sizes_do_not_depend_on_where_they_are_solved_for(monkeypatch: pytest.MonkeyPatch) -> None:
    here = solve(LIKE, known()["gla"], SHELL, LENGTH)
    with bounded().used():
        assert solve(LIKE, known()["gla"], SHELL, LENGTH) == here
        monkeypatch.setattr(apart, "answered", lambda *_: None)  # asked once
        assert solve(LIKE, known()["gla"], SHELL, LENGTH) == here


def test_an_error_of_the_program_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(apart, "solved", broken)
    with bounded().used(), pytest.raises(isolation.Crashed, match="exit code 1"):
        solve(LIKE, known()["gla"], SHELL, LENGTH)
