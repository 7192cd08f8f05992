"""How often a memory solves a task: outcomes of training are often all or nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from .untyped import stats

SOLVED = 0.9
"""Score from which a task counts as solved."""


class Rate(NamedTuple):
    """Runs that solved the task, and the interval of the chance that a run does."""

    solved: int
    runs: int
    low: float
    high: float


def success(scores: Sequence[float], level: float = SOLVED, confidence: float = 0.95) -> Rate:
    """Count the scores of at least `level`. A run without a score (diverged) is to be given as 0.

    The mean of scores that are 0 or 1 describes no run; this does.
    """
    solved = sum(score >= level for score in scores)
    return Rate(solved, len(scores), *wilson(solved, len(scores), confidence))


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a success rate (Wilson 1927): honest for few trials and at 0 and 1.

    Without trials everything is possible: 0 to 1.
    """
    if trials == 0:
        return 0.0, 1.0
    found = stats.binomtest(successes, trials).proportion_ci(confidence, "wilson")
    return float(found.low), float(found.high)
