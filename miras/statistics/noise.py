"""How far scores differ when nothing but chance does: seeds, and candidates that are duplicates."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from .untyped import stats


class Deviation(NamedTuple):
    """A standard deviation and its degrees of freedom: (0, 0) without repeats."""

    value: float
    freedom: int

    def at_most(self, confidence: float = 0.9) -> float:
        """Upper limit: from few repeats it is far above the estimate. Infinite from none."""
        if self.freedom == 0:
            return math.inf
        quantile = float(stats.chi2.ppf(1 - confidence, self.freedom))
        return self.value * math.sqrt(self.freedom / quantile)


class NullCandidates(NamedTuple):
    """What duplicates of a known memory, entered as candidates, say about all other candidates.

    `floor` is the difference from the memory that a candidate must exceed: the largest of its
    duplicates', or what the largest of `candidates` such differences is expected to be by chance,
    whichever is more.
    """

    deviation: Deviation
    shift: float
    largest: float
    floor: float


def pooled(groups: Iterable[Sequence[float]]) -> Deviation:
    """Standard deviation within groups whose members differ by chance alone."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if freedom == 0:
        return Deviation(0.0, 0)
    squares = sum((value - fmean(group)) ** 2 for group in several for value in group)
    return Deviation(math.sqrt(squares / freedom), freedom)


def luck_of_best(count: int) -> float:
    """Expected largest of `count` standard normal numbers (Blom 1958): 1.5 of 10, 2.5 of 100."""
    return float(stats.norm.ppf((count - 0.375) / (count + 0.25))) if count > 1 else 0.0


def null_candidates(
    memory: Sequence[float], duplicates: Sequence[float], candidates: int
) -> NullCandidates:
    """Judge by the duplicates: `memory` has the scores of the known memory itself, one per run.

    A `shift` of the duplicates' mean that is large beside the deviation says that candidates are
    treated unlike known memories: look for the cause before any candidate is believed.
    """
    if not memory or not duplicates:
        raise ValueError("null candidates need the memory and at least one duplicate of it")
    deviation = pooled([[*memory, *duplicates]])
    base = fmean(memory)
    largest = max(duplicates) - base
    return NullCandidates(
        deviation=deviation,
        shift=fmean(duplicates) - base,
        largest=largest,
        floor=max(largest, deviation.value * luck_of_best(candidates)),
    )
