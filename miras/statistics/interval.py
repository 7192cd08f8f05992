"""Interval of a mean over seeds."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from .untyped import stats


class Interval(NamedTuple):
    """A mean and the interval that covers the true mean with the confidence that was asked."""

    mean: float
    low: float
    high: float
    runs: int


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval. One score has no spread: its interval is not a number on both sides.

    Three seeds give an interval of 2.5 standard deviations to each side: that wide is what three
    seeds know.
    """
    mean, count = fmean(scores), len(scores)
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * stdev(scores) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)
