"""What a memory costs, in every way that scores are weighed against."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from miras.result import Result, TrialRecord

from . import reading


class Cost(NamedTuple):
    """One cost: `values(record)` has one number for each seed that measured it, none if none."""

    name: str
    label: str
    values: Callable[[TrialRecord], Sequence[float]]
    more_is_better: bool = False


def _state(record: TrialRecord) -> Sequence[float]:
    found = reading.state_floats(record)
    return [found] if found else []


def _parameters(record: TrialRecord) -> Sequence[float]:
    found = reading.parameters(record)
    return [found] if found else []


def _operations(record: TrialRecord) -> Sequence[float]:
    """Operations of a token, forward: the mean over the tokens of all tasks."""
    known = [(run.tokens, run.flops_per_token) for run in _runs(record)]
    tokens = sum(count for count, _ in known)
    if not tokens or any(each is None for _, each in known):
        return []
    return [sum(count * (each or 0.0) for count, each in known) / tokens]


def _speeds(record: TrialRecord) -> Sequence[float]:
    """Tokens of all tasks together through the seconds that they took, seed by seed."""
    runs = _runs(record)
    if any(not run.tokens_per_second for run in runs):
        return []
    by_seed: dict[int, list[Result]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, []).append(run)
    return [
        sum(run.tokens for run in members)
        / sum(run.tokens / (run.tokens_per_second or 1.0) for run in members)
        for members in by_seed.values()
        if sum(run.tokens for run in members)
    ]


def _runs(record: TrialRecord) -> list[Result]:
    return [run for task in reading.tasks([record]) for run in reading.results(record, task)]


STATE = Cost("state", "state (floats per layer)", _state)
COSTS = (
    STATE,
    Cost("parameters", "trained numbers, embedding included", _parameters),
    Cost("operations", "operations per token, forward (FLOPs)", _operations),
    Cost("speed", "training speed (tokens per second)", _speeds, more_is_better=True),
)


class Point(NamedTuple):
    """A cost of a memory, with one standard error over seeds where it was measured."""

    mean: float
    low: float
    high: float


def cost_of(record: TrialRecord, cost: Cost) -> Point | None:
    """What a memory costs; None where nobody measured it."""
    values = cost.values(record)
    if not values:
        return None
    low, high, _ = reading.interval(fmean(values), values)
    return Point(fmean(values), low, high)
