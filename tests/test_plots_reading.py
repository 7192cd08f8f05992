"""Quantities that the figures take from records, against hand and scipy."""

import math

import pytest
from plot_cases import LOST, record, result

from miras.plots import reading
from miras.plots.style import apart
from miras.result import Point, Result, TrialRecord
from miras.statistics.dominance import front


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1, 1)], [True]),
        ([(1, 2), (2, 1), (1, 1)], [True, True, False]),
        ([(1, 2), (1, 2)], [True, True]),
        ([(1, 2), (1, 3)], [False, True]),
        ([(3, -8), (3, -4), (5, -16), (2, -2)], [False, True, True, True]),
    ],
)
def test_front(points: list[tuple[float, float]], expected: list[bool]) -> None:
    assert front(points) == expected


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.5], [0.4, 0.5, 0.6]),
        ([0.8, 0.5, 0.52], [0.8, 0.46, 0.56]),
        ([1.0, 1.0], [0.9, 1.0]),
        ([0.0, 0.0], [0.0, 0.1]),
        ([], []),
    ],
)
def test_names_move_apart_as_little_as_needed(places: list[float], expected: list[float]) -> None:
    assert apart(places, 0.1) == pytest.approx(expected)


def test_interval_is_one_standard_error() -> None:
    assert reading.interval(0.5, [0.5]) == (0.5, 0.5, 1)
    low, high, seeds = reading.interval(0.5, [0.4, 0.5, 0.6])
    assert (low, high, seeds) == pytest.approx((0.5 - 0.1 / 3**0.5, 0.5 + 0.1 / 3**0.5, 3))


def test_learning_rate_is_chosen_by_validation_and_never_by_test() -> None:
    def run(rate: float, validation: float, test: float) -> Result:
        return result(
            score=test,
            learning_rate=rate,
            curve=(Point(step=1, tokens=1, loss=1.0, score=validation),),
        )

    runs = (run(0.01, 0.3, 0.9), run(0.001, 0.6, 0.5), run(0.0001, 0.4, 0.8))
    assert reading.task_score(record(results=runs), "mqar") == 0.5
    assert reading.task_score(record(results=runs, learning_rate=0.01), "mqar") == 0.9


def test_tasks_of_an_objective_are_found_in_the_numbers() -> None:
    def trial(number: int, a: float, b: float, c: float) -> TrialRecord:
        runs = (result("mqar", a), result("copy", b), result("parity", c))
        mean = {"recall": (a + b) / 2, "tracking": c, "mqar": 0.1, "odd": 0.123}
        return record(number, results=runs, objectives=mean)

    records = [trial(0, 0.2, 0.6, 0.3), trial(1, 0.9, 0.5, 0.4)]
    expected = {"recall": ("mqar", "copy"), "tracking": ("parity",), "mqar": ("mqar",), "odd": ()}
    assert {name: reading.tasks_of(records, name) for name in expected} == expected
    assert reading.tasks_of(records, reading.MEAN) == ()
    assert reading.tasks_of([], "recall") == ()


def test_labels() -> None:
    assert reading.label(record(3)) == "m3"
    assert reading.label(record(3, "search", name="huber")) == "#3 huber"
    assert reading.label(record(3, "search", name="candidate-3")) == "candidate-3"
    assert reading.label(record(3, "null", name="gla")) == "gla, again"
    assert len(reading.label(record(3, "random", name="x" * 80))) == 26


def test_failed_trials_and_infinite_scores_have_no_score() -> None:
    records = [record(0), record(1, **LOST), record(2, objectives={"recall": math.inf})]
    assert [value for _, value in reading.scored(records, "recall")] == [0.5]


def test_validation_score_of_a_result_counts_before_its_curve() -> None:
    runs = (
        result(score=0.1, validation=0.9, learning_rate=0.01),
        result(score=0.5, validation=0.2, learning_rate=0.02),
    )
    assert reading.task_score(record(results=runs), "mqar") == 0.1


def test_a_comparison_without_objectives_is_judged_by_its_tasks() -> None:
    bare = record(objectives={}, results=(result("mqar", 0.2), result("parity", 0.6)))
    assert reading.completed(bare).objectives == {"mqar": 0.2, "parity": 0.6}
    lost = record(**LOST)
    assert reading.completed(lost) is lost


def test_single_results_become_records() -> None:
    runs = [result("mqar", 0.2, seed=0), result("mqar", 0.4, seed=1), result("parity", 0.9)]
    runs += [result("mqar", None, status="diverged", reason="NaN", key="b", name="b")]
    first, second = reading.grouped(runs)
    assert first.objectives == pytest.approx({"mqar": 0.3, "parity": 0.9})
    assert (first.name, first.status, len(first.results)) == ("a", "ok", 3)
    assert (second.name, second.status, second.reason) == ("b", "diverged", "NaN")


def test_a_slow_learner_has_solved_what_it_solves() -> None:
    """The score mixes in how fast it learned; whether it solves the task is the ladder's word."""
    runs = tuple(result(score=0.8, seed=seed, metrics={"ladder": 0.95}) for seed in range(2))
    found = reading.solved(record(results=runs), ("mqar",), [0.8, 0.8])
    assert found[:2] == (2, 2) and runs[0].solving == 0.95
    assert reading.solved(record(results=()), ("mqar",), [0.8, 0.95])[:2] == (1, 2)
    assert result(score=None, metrics={"ladder": 0.95}).solving is None


def test_a_mean_is_of_all_objectives_or_of_none() -> None:
    whole = record(0, objectives={"recall": 0.4, "tracking": 0.2})
    part = record(1, objectives={"recall": 0.9})
    assert reading.panels([whole, part]) == [reading.MEAN, "recall", "tracking"]
    assert [each.number for each, _ in reading.scored([whole, part], reading.MEAN)] == [0]
    assert [each.number for each, _ in reading.scored([whole, part], "recall")] == [1, 0]
    other = record(2, objectives={"tracking": 0.5})
    assert reading.panels([part, other]) == ["recall", "tracking"]
