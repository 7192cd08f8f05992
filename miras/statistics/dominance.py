"""Candidates with several scores: which are beaten, and in what order the others stand.

Source: non-dominated sorting and crowding distance as in NSGA-II (Deb et al. 2002, sections III-A
and III-B).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = Sequence[float | int]


def dominates(first: Point, second: Point) -> bool:
    """Whether `first` is nowhere worse than `second` and somewhere better; larger is better."""
    pairs = list(zip(first, second, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def front(points: Sequence[Point]) -> list[bool]:
    """For each point, whether it is on the Pareto front. To minimise a number, give its negative.

    Equal points do not dominate each other: both stay.
    """
    return [rank == 0 for rank in ranks(points)]


def ranks(points: Sequence[Point]) -> list[int]:
    """For each point the front it is on: 0 is beaten by none, 1 by those of front 0 alone, ..."""
    if not points:
        return []
    beaten = _beaten(np.asarray(points, dtype=float))
    found = np.full(len(points), -1)
    rank = 0
    while (left := found < 0).any():
        found[left & ~beaten[left].any(axis=0)] = rank
        rank += 1
    return found.tolist()


def order(points: Sequence[Point]) -> list[int]:
    """Places of the points, best first: by front, within a front the lonelier first.

    The ends of a front are the loneliest. Points that stand alike keep their order.
    """
    if not points:
        return []
    front_of = ranks(points)
    lonely = crowding(points, front_of)
    return sorted(range(len(points)), key=lambda place: (front_of[place], -lonely[place]))


def crowding(points: Sequence[Point], front_of: Sequence[int]) -> list[float]:
    """For each point how far its neighbours on its front are, as a share of what the front spans.

    Infinite for those at an end of any score. With one score all points of a front are equal.
    """
    values = np.asarray(points, dtype=float).reshape(len(points), -1)
    found = np.zeros(len(points))
    for rank in set(front_of):
        members = np.flatnonzero(np.asarray(front_of) == rank)
        for column in values[members].T:
            _add(found, members[np.argsort(column, kind="stable")], np.sort(column))
    return found.tolist()


def _add(
    found: NDArray[np.float64], members: NDArray[np.intp], column: NDArray[np.float64]
) -> None:
    span = column[-1] - column[0]
    if span == 0:
        return
    found[members[[0, -1]]] = np.inf
    found[members[1:-1]] += (column[2:] - column[:-2]) / span


def _beaten(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`beaten[a, b]`: whether point a dominates point b."""
    never_worse = np.all(values[:, None] >= values[None], axis=-1)
    return np.logical_and(never_worse, np.logical_not(never_worse.T))
