"""Which points no other point beats."""

from collections.abc import Sequence

Point = Sequence[float | int]


def dominates(first: Point, second: Point) -> bool:
    """Whether `first` is nowhere worse than `second` and somewhere better; larger is better."""
    pairs = list(zip(first, second, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def front(points: Sequence[Point]) -> list[bool]:
    """For each point, whether it is on the Pareto front. To minimise a number, give its negative.

    Equal points do not dominate each other: both stay.
    """
    return [not any(dominates(other, point) for other in points) for point in points]
