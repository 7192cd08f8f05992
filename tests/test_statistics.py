"""Statistics: numbers that others published, SciPy, and how often intervals hold the truth."""

import math
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest

from miras import statistics as ours
from miras.statistics import Deviation, Wait
from miras.statistics.untyped import stats

# Single memories


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, trials: int, low: float, high: float):
    assert ours.wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_ends():
    assert ours.wilson(0, 0) == (0.0, 1.0)
    assert ours.wilson(3, 3)[1] == 1.0 and ours.wilson(0, 3)[0] == 0.0
    low, high = ours.wilson(2, 7)
    assert ours.wilson(5, 7) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("chance", [0.05, 0.5, 0.9])
def test_wilson_holds_the_truth_about_as_often_as_it_says(chance: float):
    """Exact, over all outcomes of 10 runs: no simulation is needed."""
    odds = stats.binom(10, chance).pmf(range(11))
    held = [low <= chance <= high for low, high in (ours.wilson(n, 10) for n in range(11))]
    assert 0.89 <= float(odds @ np.array(held)) <= 1.0


def test_success_counts_the_level_itself():
    found = ours.success([0.9, 0.89999, 1.0, 0.0])
    assert found[:2] == (2, 4) and found[2:] == ours.wilson(2, 4)


def test_interquartile_mean():
    assert ours.interquartile_mean([0.0, 1.0, 3.0, 100.0]) == 2.0
    assert ours.interquartile_mean([5.0]) == 5.0
    # weights 1/6, 2/3, 1/6: what is left of three thirds between the quartiles
    assert ours.interquartile_mean([0.0, 0.6, 6.0]) == pytest.approx(1.4)
    scores = list(np.random.default_rng(0).normal(size=40))
    assert ours.interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25))
    assert ours.interquartile_mean([*scores, 1e9, -1e9]) < 1.0


def test_interquartile_mean_does_not_depend_on_order_and_moves_with_its_scores():
    scores = [0.1, 0.9, 0.4, 0.5, 0.2]
    middle = ours.interquartile_mean(scores)
    for order in permutations(scores):
        assert ours.interquartile_mean(order) == pytest.approx(middle)
    assert ours.interquartile_mean([2 * x + 1 for x in scores]) == pytest.approx(2 * middle + 1)


def test_mean_interval_against_scipy():
    scores = [0.2, 0.5, 0.9]
    expected = stats.ttest_1samp(scores, 0).confidence_interval(0.9)
    found = ours.mean_interval(scores, 0.9)
    assert found[1:3] == pytest.approx((expected.low, expected.high))
    assert math.isnan(ours.mean_interval([0.5]).low) and ours.mean_interval([0.5]).runs == 1


# Comparisons


def grid(scores: np.ndarray) -> dict[str, dict[int, float]]:
    return {str(task): dict(enumerate(map(float, row))) for task, row in enumerate(scores)}


def test_bootstrap_of_a_constant_lead_is_sure_of_it():
    """What tasks and seeds share cancels: only the difference of a pair counts."""
    base = np.random.default_rng(0).normal(size=(4, 3))
    found = ours.paired_bootstrap(grid(base + 0.25), grid(base))
    assert found[:3] == pytest.approx((0.25, 0.25, 0.25))
    assert found.tasks == 4 and found.pairs == 12 and found.probability < 1e-3


def test_bootstrap_changes_sign_with_its_order():
    first, second = np.random.default_rng(1).normal(size=(2, 4, 3))
    there = ours.paired_bootstrap(grid(first), grid(second))
    back = ours.paired_bootstrap(grid(second), grid(first))
    assert back[:3] == pytest.approx((-there.mean, -there.high, -there.low))
    assert back.probability == there.probability


def test_bootstrap_uses_only_what_both_have():
    first = {"a": {0: 1.0, 1: 2.0, 2: 9.0}, "b": {0: 5.0}}
    second = {"a": {0: 0.5, 1: 1.0}, "c": {0: 5.0}}
    found = ours.paired_bootstrap(first, second)
    assert found.mean == pytest.approx(0.75) and found.pairs == 2 and found.tasks == 1


def test_bootstrap_says_what_is_missing():
    one = {"a": {0: 1.0}}
    with pytest.raises(ValueError, match="share no task"):
        ours.paired_bootstrap(one, {"b": {0: 1.0}})
    with pytest.raises(ValueError, match="more seeds"):
        ours.paired_bootstrap(one, one)
    with pytest.raises(ValueError, match="one task"):
        ours.paired_bootstrap({"a": {0: 1.0, 1: 2.0}}, {"a": {0: 1.0, 1: 2.0}}, tasks="drawn")


@pytest.mark.parametrize(("tasks", "low", "high"), [("fixed", 0.9, 0.965), ("drawn", 0.94, 0.99)])
def test_bootstrap_holds_the_truth_about_as_often_as_it_says(tasks, low: float, high: float):
    generator = np.random.default_rng(2)
    held = 0
    for draw in range(500):
        level = generator.normal(0, 0.1, 8)
        truth = level.mean() if tasks == "fixed" else 0.0
        lead = grid(level[:, None] + generator.normal(0, 0.1, (8, 3)) - truth)
        nothing = grid(np.zeros((8, 3)))
        found = ours.paired_bootstrap(lead, nothing, tasks=tasks, samples=500, seed=draw)
        held += found.low <= 0 <= found.high
    assert low <= held / 500 <= high


def test_holm_by_hand():
    found = ours.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert ours.holm({"a": 0.4, "b": 0.9}) == {"a": 0.8, "b": 0.9} and ours.holm({}) == {}


def test_holm_errs_at_all_with_at_most_the_level():
    drawn = np.random.default_rng(3).uniform(size=(4000, 5))
    wrong = [min(ours.holm(dict(zip("abcde", row, strict=True))).values()) <= 0.05 for row in drawn]
    assert np.mean(wrong) == pytest.approx(1 - 0.99**5, abs=0.012)


# Waits: Freireich et al. 1963, weeks of remission under 6-MP and placebo

DRUG = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
TREATED = [Wait(float(week.rstrip("+")), "+" not in week) for week in DRUG.split()]
UNTREATED = [Wait(float(week), True) for week in PLACEBO]


def test_median_wait_as_published():
    assert ours.median_wait(TREATED) == (23.0, 13.0, math.inf, 9, 21)
    assert ours.median_wait(UNTREATED) == (8.0, 4.0, 11.0, 21, 21)


def test_log_rank_as_published():
    found = ours.same_wait(TREATED, UNTREATED)
    assert found == pytest.approx(stats.chi2.sf(16.79, 1), rel=0.01)
    assert ours.same_wait(UNTREATED, TREATED) == pytest.approx(found)


def test_waits_that_never_ended():
    never = [Wait(900.0, False)] * 3
    assert ours.median_wait(never) == (math.inf, 900.0, math.inf, 0, 3)
    assert ours.same_wait(never, never) == 1.0
    assert ours.median_wait([Wait(100.0, True), *never]).median == math.inf


def test_the_clock_does_not_matter():
    slow = [Wait(2 * each.time, each.reached) for each in TREATED]
    assert ours.median_wait(slow).median == 2 * ours.median_wait(TREATED).median


def test_wait_of_a_curve():
    curve = [(10.0, 0.1), (20.0, 0.95), (30.0, 0.5)]
    assert ours.wait(curve, 0.9) == (20.0, True) and ours.wait(curve, 0.99) == (30.0, False)


# Chance and selection


def test_luck_of_the_best_as_published():
    found = [ours.luck_of_best(count) for count in (10, 100, 500, 2000)]
    assert found == pytest.approx([1.54, 2.51, 3.04, 3.43], abs=0.02)
    assert ours.luck_of_best(1) == ours.luck_of_best(0) == 0.0


def test_pooled_deviation():
    assert ours.pooled([[1.0], []]) == (0.0, 0)
    assert ours.pooled([[1.0, 3.0], [5.0, 5.0, 5.0]]) == (pytest.approx((2 / 3) ** 0.5), 3)
    assert Deviation(0.0, 0).at_most() == math.inf


@pytest.mark.parametrize("freedom", [1, 2, 10])
def test_limit_of_a_deviation_holds_as_often_as_it_says(freedom: int):
    drawn = np.random.default_rng(4).normal(size=(4000, freedom + 1))
    limits = [Deviation(float(row.std(ddof=1)), freedom).at_most(0.9) for row in drawn]
    assert np.mean(np.array(limits) >= 1) == pytest.approx(0.9, abs=0.02)


def test_null_candidates():
    found = ours.null_candidates([0.5], [0.52, 0.48, 0.53], candidates=3)
    assert found.shift == pytest.approx(0.01) and found.largest == pytest.approx(0.03)
    assert found.deviation.freedom == 3 and found.floor == pytest.approx(0.03)
    more = ours.null_candidates([0.5], [0.52, 0.48, 0.53], candidates=500)
    assert more.floor == pytest.approx(found.deviation.value * ours.luck_of_best(500))
    with pytest.raises(ValueError, match="duplicate"):
        ours.null_candidates([0.5], [], candidates=3)


def test_chosen_scores_come_back_by_the_share_that_is_merit():
    generator = np.random.default_rng(5)
    merit = generator.normal(0, 0.1, 2000)
    first, again = merit + generator.normal(0, 0.1, (2, 2000))
    found = ours.rescored(list(first), list(again))
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.shrinkage > 0.1
    runs = merit[:, None] + generator.normal(0, 0.1, (2000, 2))
    assert ours.repeatable(runs.tolist()) == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("finalists", [5, 40])
def test_choosing_by_the_first_score_does_not_bend_the_line(finalists: int):
    generator = np.random.default_rng(8)
    held = 0
    for _ in range(250):
        merit = generator.normal(0, 0.1, 40)
        first, again = merit + generator.normal(0, 0.1, (2, 40))
        best = np.argsort(first)[-finalists:]
        found = ours.rescored(list(first[best]), list(again[best]))
        held += found.slope_low <= 0.5 <= found.slope_high
    assert 0.91 <= held / 250 <= 0.985


def test_a_line_needs_three():
    with pytest.raises(ValueError, match="three"):
        ours.rescored([0.1, 0.2], [0.1, 0.2])
    assert ours.rescored([0.0, 1.0, 2.0], [1.0, 1.5, 2.0]).expected(4.0) == pytest.approx(3.0)


def test_detectable_by_simulation():
    for seeds, paired in ((3, False), (8, False), (5, True)):
        lead = ours.detectable(seeds, 1.0, paired=paired)
        first = np.random.default_rng(6).normal(lead, 1, (20_000, seeds))
        second = np.random.default_rng(7).normal(0, 1, (20_000, seeds))
        test = (
            stats.ttest_1samp(first, 0, axis=1)
            if paired
            else stats.ttest_ind(first, second, axis=1)
        )
        assert np.mean(test.pvalue < 0.05) == pytest.approx(0.8, abs=0.012)


def test_detectable_grows_with_the_noise_and_falls_with_the_seeds():
    found = [ours.detectable(seeds, 0.05) for seeds in (3, 5, 8)]
    assert found == pytest.approx([0.15, 0.10, 0.075], abs=0.005)
    assert ours.detectable(3, 0.1) == pytest.approx(2 * found[0])
    with pytest.raises(ValueError, match="two"):
        ours.detectable(1, 0.05)


def test_statistics_need_no_torch():
    code = "import sys, miras.statistics; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
