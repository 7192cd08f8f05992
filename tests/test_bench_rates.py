"""What a table of candidates at many rates says of the rates that a search should give them."""

import numpy as np
import pytest
from plot_cases import record, result

from miras.benchmarks.rates import POLICIES, Table, page, rows, searched, seen, table

RATES = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03)
PEAK = [1.0, *[0.0] * 6]  # good at its lowest rate alone
EVEN = [0.5] * 7
BOTH = Table(np.array([PEAK, EVEN]), np.array([PEAK, EVEN]))


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("one fixed rate", [0.0, 0.5]), ("a grid of three", [0.0, 0.5]), ("all seven", [1.0, 0.5])],
)
def test_a_search_sees_the_best_of_the_rates_that_it_gives(
    policy: str, wanted: list[float]
) -> None:
    assert seen(BOTH, POLICIES[policy], np.random.default_rng(0)).tolist() == wanted


def test_the_winner_is_worth_its_test_score_at_the_rate_that_validation_prefers() -> None:
    chance = np.random.default_rng(0)
    assert searched(BOTH, POLICIES["one fixed rate"], 2, chance) == 0.5
    assert searched(BOTH, POLICIES["all seven"], 14, chance) == 1.0
    assert searched(BOTH, POLICIES["all seven"], 13, np.random.default_rng(1)) in (0.5, 1.0)
    other = Table(BOTH.validation, 1.0 - BOTH.test)
    assert searched(other, POLICIES["all seven"], 14, chance) == 0.0


def test_one_rate_by_chance_meets_a_peak_as_often_as_there_are_rates() -> None:
    draws = [
        seen(BOTH, POLICIES["one rate by chance"], np.random.default_rng(each))[0]
        for each in range(700)
    ]
    assert np.mean(draws) == pytest.approx(1 / 7, abs=0.04)


def test_a_table_has_candidates_that_trained_and_marks_rates_at_which_they_did_not() -> None:
    good = [
        result(task=task, learning_rate=rate, score=0.4 + rate, validation=0.3)
        for task in ("mqar", "parity")
        for rate in RATES[:2]
    ]
    bad = [result(learning_rate=RATES[0], status="diverged", score=None, validation=None)]
    found = table([record(results=(*good[:1], *good[2:])), record(results=tuple(bad))], RATES[:2])
    assert found.validation.tolist() == [[pytest.approx(0.3), -1.0]]
    assert found.test.tolist() == [[pytest.approx(0.401), -1.0]]


def test_the_page_says_by_how_much_each_policy_is_ahead() -> None:
    made = rows(BOTH, (7, 14), pools=20, searches=5)
    assert [row.policy for row in made] == list(POLICIES)
    assert made[-1].found[14][0] > 0.0
    text = page(BOTH, RATES, made)
    for row in ("one fixed rate | 1", "one rate by chance | 1", "a grid of three | 3"):
        assert f"| {row} | " in text
    assert "| 0.001 | 2 | 0 | 1.000 |" in text
