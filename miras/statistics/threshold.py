"""When does a memory reach a score? Runs that never do are censored, not left out."""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .untyped import stats


class Wait(NamedTuple):
    """Tokens (or steps) until a score was reached, or until the run ended without it."""

    time: float
    reached: bool


class Waiting(NamedTuple):
    """Time by which half of the runs are there: infinite if fewer ever were."""

    median: float
    low: float
    high: float
    reached: int
    runs: int


def wait(curve: Iterable[tuple[float, float]], level: float) -> Wait:
    """The first time of a curve of (time, score) with at least this score.

    Known as well as the curve has points: the true time lies between that point and the one before.
    """
    last = 0.0
    for time, score in curve:
        if score >= level:
            return Wait(time, True)
        last = time
    return Wait(last, False)


def median_wait(waits: Sequence[Wait], confidence: float = 0.95) -> Waiting:
    """Median of Kaplan and Meier 1958; interval where the band of log(-log S) crosses one half."""
    if not waits:
        raise ValueError("a median needs at least one run")
    reached = sum(each.reached for each in waits)
    if reached == 0:
        return Waiting(math.inf, max(each.time for each in waits), math.inf, 0, len(waits))
    survival = stats.ecdf(_censored(waits)).sf
    # Without deaths in a step of the band SciPy warns of 0 / 0 and leaves not-a-number there.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        band = survival.confidence_interval(confidence, method="log-log")
    return Waiting(
        _half(survival.quantiles, survival.probabilities),
        _half(band.low.quantiles, band.low.probabilities),
        _half(band.high.quantiles, band.high.probabilities),
        reached,
        len(waits),
    )


def same_wait(first: Sequence[Wait], second: Sequence[Wait]) -> float:
    """Two-sided probability of waits this different if there were no difference: log-rank test."""
    if not any(each.reached for each in (*first, *second)):
        return 1.0  # nobody was ever there: nothing differs
    return float(stats.logrank(_censored(first), _censored(second)).pvalue)


def _censored(waits: Sequence[Wait]) -> object:
    return stats.CensoredData(
        uncensored=[each.time for each in waits if each.reached],
        right=[each.time for each in waits if not each.reached],
    )


def _half(times: NDArray[np.float64], remaining: NDArray[np.float64]) -> float:
    """The first time at which no more than half are still waiting."""
    pairs = zip(times, remaining, strict=True)
    return next((float(time) for time, share in pairs if share <= 0.5 + 1e-12), math.inf)
