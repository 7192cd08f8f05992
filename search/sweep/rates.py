"""Learning rates, the same for known memories and candidates: which to try, which to take."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from miras.result import Result

CLOSE = 0.9
"""A rate counts as good from this share of the best one's validation score."""


class Width(NamedTuple):
    """How much the learning rate matters: few good rates of many make a memory hard to train."""

    good: int
    tried: int
    decades: float

    @property
    def share(self) -> float:
        """Good rates of all that were tried."""
        return self.good / self.tried if self.tried else 0.0


def chosen(results: Sequence[Result]) -> Result:
    """The run with the best validation score.

    Of equal ones the one that learned faster, then that with the lower loss: at the ceiling a rate
    that got there early has margin for other seeds, one that just arrived has none.
    """
    return max(results, key=_merit)


def ordered(results: Sequence[Result]) -> list[float]:
    """The rates of runs with one seed, best first; of those that stand alike the first one."""
    return [each.learning_rate for each in sorted(results, key=_merit, reverse=True)]


def settled(rates: Sequence[float], results: Sequence[Result]) -> float:
    """The rate with the best mean validation score over all its runs; who failed has 0."""

    def mean(rate: float) -> float:
        here = [each for each in results if near([each], rate)]
        return fmean((each.validation or 0.0) if each.status == "ok" else 0.0 for each in here)

    return max(rates, key=lambda rate: round(mean(rate), 3))


def _merit(result: Result) -> tuple[bool, float, float, float]:
    last = result.curve[-1] if result.curve else None
    score = round(result.validation or 0.0, 3)
    learning = round(result.metrics.get("learning", 0.0), 3)
    return result.status == "ok", score, learning, -last.loss if last else 0.0


def wanted(grid: Sequence[float], notches: int, results: Sequence[Result]) -> list[float]:
    """The grid, grown where the best of all its results lies at an edge, once for each notch."""
    rates = sorted(grid)
    for _ in range(notches if len(rates) > 1 else 0):
        here = [each for each in results if any(near([each], rate) for rate in rates)]
        if len(here) < len(rates):
            break
        best, ratio = chosen(here).learning_rate, rates[1] / rates[0]
        if abs(best / rates[0] - 1) < 1e-6:
            rates.insert(0, rates[0] / ratio)
        elif abs(best / rates[-1] - 1) < 1e-6:
            rates.append(rates[-1] * ratio)
        else:
            break
    return rates


def near(results: Sequence[Result], rate: float) -> bool:
    """Whether one of the results is at this rate."""
    return any(abs(each.learning_rate / rate - 1) < 1e-6 for each in results)


def width(results: Sequence[Result]) -> Width:
    """How many rates are within 10 % of the best validation score, and over how many decades.

    Of runs with one seed and one rate each; a run that failed scores 0. Decades are between the
    lowest and the highest good rate with none but good ones from the best rate on: a memory that
    likes two rates and none between them is not robust. Nothing is good where all score 0.
    """
    runs = sorted(results, key=lambda each: each.learning_rate)
    scores = [(each.validation or 0.0) if each.status == "ok" else 0.0 for each in runs]
    best = max(scores, default=0.0)
    if best <= 0:
        return Width(0, len(runs), 0.0)
    good = [score >= CLOSE * best for score in scores]
    low = high = scores.index(best)
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(runs) and good[high + 1]:
        high += 1
    ratio = runs[high].learning_rate / runs[low].learning_rate
    return Width(sum(good), len(runs), math.log10(ratio))
