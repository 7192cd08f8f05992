"""Winner's curse: what was chosen for its score was lucky too. How much of a score comes back?"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from .untyped import stats


class Rescored(NamedTuple):
    """Line of new scores over the scores that candidates were chosen by.

    A `slope` of 1 says that the search measured merit, of 0 that it measured luck. `shrinkage` is
    how much the best candidate lost. Intervals are of 95 %, Student's.
    """

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    correlation: float
    shrinkage: float
    runs: int

    def expected(self, score: float) -> float:
        """What a candidate with this score in the search is likely to reach on new seeds."""
        return self.intercept + self.slope * score


def rescored(chosen_by: Sequence[float], again: Sequence[float]) -> Rescored:
    """Regress the score on fresh seeds and data on the score in the search.

    Choosing candidates by the first score does not bend this line: what it is a line over is what
    they were chosen by. Raises ValueError for fewer than three, or for equal scores.
    """
    if len(chosen_by) != len(again):
        raise ValueError(
            f"{len(chosen_by)} scores of the search and {len(again)} new ones: pair them"
        )
    if len(again) < 3 or len(set(chosen_by)) < 2:
        raise ValueError("a line needs three candidates with different scores: score more of them")
    line = stats.linregress(chosen_by, again)
    half = float(stats.t.ppf(0.975, len(again) - 2)) * float(line.stderr)
    best = max(range(len(again)), key=lambda place: chosen_by[place])
    return Rescored(
        slope=float(line.slope),
        slope_low=float(line.slope) - half,
        slope_high=float(line.slope) + half,
        intercept=float(line.intercept),
        correlation=float(line.rvalue) if math.isfinite(line.rvalue) else 0.0,
        shrinkage=float(chosen_by[best] - again[best]),
        runs=len(again),
    )


def repeatable(groups: Sequence[Sequence[float]]) -> float:
    """Share of the variance between candidates that is merit: the slope to expect of `rescored`.

    From the runs of each candidate, by analysis of variance: 1 less the noise of a candidate's
    mean over the variance of these means, at least 0. Needs two candidates with two runs each.
    """
    if len(groups) < 2 or min(map(len, groups)) < 2:
        raise ValueError("two candidates with two runs each are the least that can be compared")
    means = [fmean(group) for group in groups]
    noise = fmean(
        sum((x - mean) ** 2 for x in group) / (len(group) - 1) / len(group)
        for group, mean in zip(groups, means, strict=True)
    )
    middle = fmean(means)
    between = sum((mean - middle) ** 2 for mean in means) / (len(means) - 1)
    return max(0.0, 1 - noise / between) if between > 0 else 0.0
