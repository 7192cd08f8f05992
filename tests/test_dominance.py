"""Order of candidates with several scores, against the definitions written out."""

import numpy as np
import pytest

from miras.statistics.dominance import crowding, dominates, order, ranks

Points = list[tuple[float, ...]]


def some(seed: int, count: int, scores: int) -> Points:
    """Points on a coarse grid, so that equal numbers and equal points are among them."""
    drawn = np.random.default_rng(seed).integers(0, 6, (count, scores))
    return [tuple(map(float, row)) for row in drawn]


@pytest.mark.parametrize("scores", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_peel_front_after_front(scores: int, seed: int) -> None:
    points = some(seed, 40, scores)
    expected: dict[int, int] = {}
    rank = 0
    while len(expected) < len(points):
        left = [place for place in range(len(points)) if place not in expected]
        best = [a for a in left if not any(dominates(points[b], points[a]) for b in left)]
        expected |= dict.fromkeys(best, rank)
        rank += 1
    assert ranks(points) == [expected[place] for place in range(len(points))]


def test_one_score_is_plain_sorting() -> None:
    points = [(0.3,), (0.9,), (0.1,), (0.9,), (0.5,)]
    assert order(points) == [1, 3, 4, 0, 2]


def test_lonely_points_of_a_front_come_first() -> None:
    """By hand: the ends, then the one whose neighbours span most in both scores together."""
    points = [(0.0, 10.0), (1.0, 9.0), (2.0, 8.0), (7.0, 3.0), (10.0, 0.0), (0.0, 0.0)]
    assert crowding(points, ranks(points))[1:4] == pytest.approx([0.4, 1.2, 1.6])
    assert order(points) == [0, 4, 3, 2, 1, 5]


def test_nothing_to_order() -> None:
    assert ranks([]) == order([]) == []
