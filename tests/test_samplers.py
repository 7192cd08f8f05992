"""Samplers on trees of choices: what they propose, and what they learn from."""

from itertools import product
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sampler_cases import (
    PLAIN,
    TALL,
    UP,
    Values,
    alike,
    diverging,
    ground,
    options,
    sampler,
    search,
)

from miras.search.proposing.ground import Choices, Whole, written
from miras.search.proposing.history import Past, frozen
from miras.search.proposing.proposing import Proposal, Rejection, propose, study_of
from miras.search.proposing.variation import heads, jitter, mixed
from miras.search.sampler import Turn
from miras.search.sampler.brute import Brute
from miras.search.sampler.evolution import RUNG, SCORES, ranked
from miras.search.space.choosers import FromChoices, FromRandom
from miras.search.space.nodes import Fields, Fixed, Number


def test_slots_are_swapped_with_all_below_them() -> None:
    on = ground(TALL)
    generator = np.random.default_rng(1)
    seen: set[tuple[bool, bool]] = set()
    for _ in range(60):
        one, other = (on.derive(FromRandom(generator), True) for _ in range(2))
        child = mixed(one, other, generator)
        assert heads(child) == ["loss", "norm"] or set(heads(child)) == {"loss", "norm"}
        below = {name: value for name, value in child.items() if name.startswith("loss")}
        from_one = below == {n: v for n, v in one.items() if n.startswith("loss")}
        from_other = below == {n: v for n, v in other.items() if n.startswith("loss")}
        assert from_one or from_other
        seen.add((from_one, child["scale"] == one["scale"]))
        assert on.derive(FromChoices(child), False) == child
    assert len(seen) == 4


def test_numbers_stay_in_their_range_and_near() -> None:
    generator = np.random.default_rng(0)
    log = Number(1e-4, 1e-1, log=True)
    shares = [np.log(jitter(1e-2, log, generator) / 1e-2) / np.log(1e3) for _ in range(2000)]
    assert abs(np.mean(shares)) < 0.02 and 0.12 < np.std(shares) < 0.16
    whole = [jitter(8, Number(1, 8, whole=True), generator) for _ in range(20)]
    assert set(whole) == {7} and all(isinstance(each, int) for each in whole)
    for low, high in ((0.1, 0.3), (-1.0, 1e9)):
        ends = [jitter(high, Number(low, high), generator) for _ in range(200)]
        assert all(low <= each <= high for each in ends) and max(ends) == high


@pytest.mark.parametrize("kind", ["random", "tpe", "evolution", "portfolio", "nsga2", "nsga3"])
def test_proposals_are_new_and_repeatable(kind: str) -> None:
    on = ground(PLAIN, 100)
    found = search(kind, on, 60, alike)
    assert len({written(choices) for choices, _ in found}) == len(found) == 60
    assert search(kind, on, 30, alike) == found[:30]
    assert search(kind, on, 20, alike, seed=1) != found[:20]


@pytest.mark.parametrize("kind", ["evolution", "tpe", "nsga2"])
def test_two_objectives(kind: str) -> None:
    """The sum of the front grows beyond what chance finds."""

    def two(choices: Choices) -> Values:
        marks = ["abcd".index(str(choice)) for choice in choices.values()]
        return (float(marks[0] + marks[1]), float(marks[2] - marks[1] + marks[3]))

    both = ("maximize", "maximize")
    found = search({"kind": kind}, ground(PLAIN), 80, two, directions=both)
    assert len({written(choices) for choices, _ in found}) == 80
    late = [sum(values or ()) for _, values in found[40:]]
    early = [sum(values or ()) for _, values in found[:10]]
    assert np.mean(late) > np.mean(early)


@pytest.mark.parametrize(
    ("kind", "most"),
    [("tpe", 0.3), ("evolution", 0.3), ("portfolio", 0.3), ("nsga2", 0.3), ("random", None)],
)
def test_search_leaves_what_diverges(kind: str, most: float | None) -> None:
    """Half of the losses diverge; of the others those with a small scale are better."""
    found = search(kind, ground(TALL), 100, diverging)
    late = [choices for choices, _ in found[50:]]
    bad = sum(str(choices["loss"]).startswith("bad") for choices in late) / len(late)
    scale = float(np.median([float(choices["scale"]) for choices in late]))
    if most is None:
        assert bad > 0.35 and scale > 1.5e-3
    else:
        assert bad <= most and (scale < 1.5e-3 or kind == "nsga2")


@pytest.mark.parametrize("kind", ["tpe", "evolution"])
def test_many_refusals_do_not_end_the_learning(kind: str) -> None:
    """More than a sampler looks back on: it must not take its history for a beginning."""
    on, generator = ground(TALL), np.random.default_rng(0)
    drawn = [on.derive(FromRandom(generator), True) for _ in range(400)]
    refused = [frozen(on, each, bad="invalid") for each in drawn[:300]]
    seen = [(each, diverging(each)) for each in drawn[300:]]
    trained = [frozen(on, each, found, bad="" if found else "diverged") for each, found in seen]
    trials = [trial for pair in zip(refused[::3], trained, strict=True) for trial in pair]
    past, scales = Past([*refused, *trials], 400), list[float]()
    for number in range(20):

        def take(proposal: Proposal) -> None:
            scales.append(float(proposal.choices["scale"]))

        propose(on, sampler(kind).arm(number, on), past, ["maximize"], (0, number), take)
    assert len(scales) == 20 and np.median(scales) < 1.5e-3


def test_brute_finds_everything_once() -> None:
    on = ground(PLAIN, 300)
    for kind in ("brute", "portfolio"):  # the portfolio too, where all fits the budget
        found = search(kind, on, 300, alike)
        every = {"".join(map(str, choices.values())) for choices, _ in found}
        assert len(found) == 256 and every == {"".join(each) for each in product("abcd", repeat=4)}
    assert "".join(map(str, found[1][0].values())) == "aaab"
    assert not sampler("brute").remarks(on)
    assert "256 derivations" in sampler("portfolio").remarks(on)[0]
    assert "first of them alone" in sampler("brute").remarks(ground(PLAIN, 10))[0]


def test_brute_with_numbers_on_a_grid() -> None:
    root = Fields(
        "", {"a": Number(0.0, 1.0), "b": Number(1, 3, whole=True), "c": options("x", "y")}
    )
    found = search({"kind": "brute", "points": 2}, ground(root), 100, lambda _: (0.0,))
    assert [tuple(choices.values()) for choices, _ in found] == [
        (a, b, c) for a, b, c in product((0.25, 0.75), (1, 2, 3), "xy")
    ]
    assert "2 values alone" in " ".join(Brute(points=2).remarks(ground(root)))
    assert "the middle alone" in " ".join(Brute().remarks(ground(root)))


def test_brute_goes_on_however_many_do_not_fit() -> None:
    on = ground(Fields("", {"a": Number(0.0, 1.0)}), 10)  # one derivation, of ten values
    taken: list[Choices] = []

    def take(proposal: Proposal) -> Rejection | None:
        if float(proposal.choices["a"]) < 0.3:
            return Rejection("T0", "too small")
        taken.append(proposal.choices)
        return None

    arm = sampler({"kind": "brute", "points": 10}).arm(0, on)
    assert propose(on, arm, Past(), ["maximize"], (0, 0), take)
    assert taken[0]["a"] == pytest.approx(0.35)


def test_a_space_that_is_used_up_ends() -> None:
    on = ground(Fields("", {"one": options("a", "b", "c"), "two": options("x", "y")}), 5)
    for kind in ("evolution", "tpe", "portfolio"):
        assert len(search(kind, on, 10, lambda _: (1.0,))) == 6
    assert len(search("brute", on, 10, lambda _: (1.0,))) == 6
    assert len(search("brute", ground(Fixed({"kind": "x"})), 3, lambda _: (1.0,))) == 1


def test_nothing_is_chosen_behind_the_back() -> None:
    on = ground(PLAIN)
    whole = Whole(on, lambda study, trials: on.derive(FromRandom(np.random.default_rng(0)), True))
    trial = optuna.create_study(sampler=whole).ask()
    with pytest.raises(AssertionError, match="in no derivation"):
        trial.suggest_float("else", 0.0, 1.0)


def test_random_arm_stands_at_fixed_places() -> None:
    on = ground(TALL, 100)
    arms = [sampler("portfolio").arm(candidate, on) for candidate in range(100)]
    chance = [place for place, arm in enumerate(arms) if arm.origin == "random"]
    assert len(chance) == 15 and set(np.diff(chance)) == {6, 7}
    others = [arm.whole for arm in arms if arm.origin == "search"]
    assert others[::2] != others[1::2] and abs(sum(others) - len(others) / 2) <= 8


def trial(values: Values, **about: Any) -> FrozenTrial:
    state = TrialState.COMPLETE if values else TrialState.PRUNED
    return optuna.trial.create_trial(state=state, values=values, user_attrs=about)


def test_order_of_parents_is_that_of_a_plain_count() -> None:
    generator = np.random.default_rng(0)
    points = [tuple(map(float, row)) for row in generator.integers(0, 6, size=(40, 2))]

    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        # the second value is to be small
        return one[0] >= other[0] and one[1] <= other[1] and one != other

    left, fronts = set(range(40)), []
    while left:
        front = {a for a in left if not any(beats(points[b], points[a]) for b in left)}
        fronts.append(front)
        left -= front
    stopped = [trial(None, **{RUNG: rung, SCORES: {"x": 0.1}}) for rung in (1, 2)]
    directions = [UP, StudyDirection.MINIMIZE]
    found = ranked(directions, [stopped[0], *map(trial, points), stopped[1]])
    assert found[-2:] == [41, 0]  # they come last, the one that came further first
    places = [next(i for i, f in enumerate(fronts) if place - 1 in f) for place in found[:-2]]
    assert places == sorted(places)
    assert ranked([UP], [trial((1.0,)), trial((3.0,)), trial((2.0,))]) == [1, 2, 0]


def test_gaussian_process_on_numbers() -> None:
    root = Fields("", {"a": Number(0.0, 1.0), "b": Number(0.0, 1.0)})
    on = ground(root)

    def hill(choices: Choices) -> Values:
        a, b = float(choices["a"]), float(choices["b"])
        return None if a > 0.8 else (-((a - 0.3) ** 2) - (b - 0.6) ** 2,)

    found = search({"kind": "gp", "startup": 6}, on, 16, hill)
    best = max(values[0] for _, values in found if values)
    assert best > -0.01 and sum(values is None for _, values in found[8:]) <= 2
    assert not sampler("gp").remarks(on)
    assert "small numeric spaces" in sampler("gp").remarks(ground(PLAIN))[0]


@pytest.mark.parametrize("kind", ["gp", "tpe"])
def test_refused_proposals_are_no_trials_of_the_start(kind: str) -> None:
    made: Any = sampler(kind).arm(0, ground(TALL)).make(Turn(0, refused=4))
    assert made._n_startup_trials == 14


def test_quick_tpe_models_together_what_optuna_would() -> None:
    on = ground(TALL)
    arm = sampler("tpe").arm(0, on)
    quick = arm.make(Turn(0))
    generator = np.random.default_rng(0)
    drawn = [on.derive(FromRandom(generator), True) for _ in range(30)]
    for known in (0, 1, 30):
        past = [frozen(on, choices, (0.5,)) for choices in drawn[:known]]
        study = study_of(past, arm, ("maximize",))
        study.add_trial(frozen(on, drawn[0], bad="diverged"))
        running = study.ask()
        wanted = TPESampler(multivariate=True).infer_relative_search_space(
            study, study.trials[running.number]
        )
        assert wanted.keys() >= {"loss", "scale", "norm"}
        found = quick.infer_relative_search_space(study, study.trials[running.number])
        assert list(found.items()) == list(wanted.items())


def test_quick_tpe_leaves_to_chance_only_what_no_trial_has(monkeypatch: pytest.MonkeyPatch) -> None:
    on = ground(TALL)
    arm = sampler("tpe").arm(0, on)
    drawn = [on.derive(FromRandom(np.random.default_rng(seed)), True) for seed in range(30)]
    study = study_of([frozen(on, choices, (0.5,)) for choices in drawn], arm, ("maximize",))
    running = study.ask()
    trial = study.trials[running.number]
    asked: list[str] = []

    def modelled(_: Any, study: Any, trial: Any, name: str, options: Any) -> Any:
        asked.append(name)

    monkeypatch.setattr(TPESampler, "sample_independent", modelled)
    options = optuna.distributions.CategoricalDistribution(["a", "b"])
    seen = {name for each in drawn for name in each}
    quick = arm.make(Turn(0))
    found = {quick.sample_independent(study, trial, "unseen", options) for _ in range(20)}
    assert found == {"a", "b"} and not asked
    for name in seen:
        quick.sample_independent(study, trial, name, options)
    assert set(asked) == seen
