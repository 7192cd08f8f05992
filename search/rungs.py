"""Rungs: who goes on from a cheap look to a dear one, and who is stopped.

A study trains every candidate on its first rung and the best ones on the next. Slots are judged in
cohorts of neighbours: when all slots up to the end of a cohort have finished a rung, those of the
cohort that are among the best share of all of them go on. So a decision is a function of slots of
smaller numbers alone, the same whoever worked at them and in whatever order they ended.

Known memories, null candidates and the arm of chance are never stopped: what they are for needs the
last rung. They also show whether the cheap look is worth anything: nobody is stopped by a rung on
which no known memory has left the floor, nor by one whose order disagrees with that of the last.

Source: promotion by non-dominated rank as in multi-objective ASHA (arXiv 2106.12639). Differs:
decisions wait for a cohort, which makes them repeatable.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from pydantic import Field

from miras.part import Part
from miras.statistics.dominance import order
from miras.statistics.untyped import stats

Decision = Literal["promoted", "stopped"]

KNOWN = frozenset({"baseline", "null"})
EXEMPT = KNOWN | {"random"}
"""Origins that are never stopped."""

LEFT_FLOOR = 0.1
"""Score from which a known memory has learned something: before, a rung compares noise."""

PAIRS = 20
"""Memories with both a cheap and a final score, below which their orders are not compared."""


class Rung(Part):
    """One look at a candidate; what an earlier rung has trained is not trained again."""

    tasks: tuple[str, ...] = Field(
        default=(), description="names of tasks of the study; all of them if left out"
    )
    seeds: tuple[int, ...] = Field(default=(), description="those of the study if left out")
    learning_rate: Literal["all", "best"] = Field(
        default="all", description="all rates of the study, or the best one of the rung before"
    )
    keep: float = Field(
        default=0.25, gt=0.0, le=1.0, description="share of the candidates that goes on from here"
    )


class Entry(NamedTuple):
    """What is known of a slot. `values` are the objectives by rung, as many as it has finished."""

    slot: int
    origin: str
    values: tuple[tuple[float, ...], ...]
    ended: bool = False  # nothing will be added: it is through, stopped or has failed
    waiting: bool = False  # it has finished a rung that is not the last, and nobody has decided


class Rules(NamedTuple):
    """What decisions depend on beside the entries."""

    keep: tuple[float, ...]  # one for each rung but the last
    cohort: int
    trials: int
    agreement: float
    lag: int = 0


class Agreement(NamedTuple):
    """How well a rung foretells the last one: rank correlation over memories that had both."""

    pairs: int
    correlation: float

    def enough(self, wanted: float) -> bool:
        """Whether candidates may be stopped by it; while there are few pairs it is given credit."""
        return self.pairs < PAIRS or self.correlation >= wanted


def decide(rules: Rules, entries: Sequence[Entry]) -> dict[int, Decision]:
    """What becomes of the slots that wait, as far as it can be said."""
    found: dict[int, Decision] = {}
    for rung, keep in enumerate(rules.keep):
        for start, end in cohorts(rules, entries, rung):
            below = [each for each in entries if each.slot < end]
            waiting = [
                each
                for each in below
                if each.slot >= start and each.waiting and len(each.values) == rung + 1
            ]
            if not waiting:
                continue
            going = {each.slot for each in waiting if each.origin in EXEMPT}
            if not trusted(rules, below, rung, end):
                keep = 1.0
            going |= best(below, rung, keep)
            found |= {e.slot: "promoted" if e.slot in going else "stopped" for e in waiting}
    return found


def cohorts(rules: Rules, entries: Sequence[Entry], rung: int) -> list[tuple[int, int]]:
    """First slot and end of each cohort of which, and below which, all have finished a rung."""
    finished = {each.slot for each in entries if each.ended or len(each.values) > rung}
    complete = 0
    while complete in finished:
        complete += 1
    ends = [*range(rules.cohort, rules.trials, rules.cohort), rules.trials]
    starts = range(0, rules.trials, rules.cohort)
    return [(a, b) for a, b in zip(starts, ends, strict=True) if b <= complete]


def best(entries: Sequence[Entry], rung: int, keep: float) -> set[int]:
    """The slots of the best share of all candidates on a rung."""
    rivals = [each for each in entries if each.origin not in KNOWN and len(each.values) > rung]
    count = math.ceil(keep * len(rivals))
    return {rivals[place].slot for place in order([e.values[rung] for e in rivals])[:count]}


def trusted(rules: Rules, entries: Sequence[Entry], rung: int, end: int) -> bool:
    """Whether a rung may stop candidates of the cohort that ends there."""
    if on_floor(entries, rung):
        return False
    # With a lag all below are through when this cohort is planned, whatever the workers do.
    sure = [each for each in entries if each.slot < end - rules.lag] if rules.lag else entries
    return agreement(sure, rung, len(rules.keep)).enough(rules.agreement)


def on_floor(entries: Sequence[Entry], rung: int) -> bool:
    """Whether the known memories have learned nothing on a rung."""
    ended = [e for e in entries if e.origin in KNOWN and (e.ended or len(e.values) > rung)]
    return bool(ended) and not any(
        len(e.values) > rung and max(e.values[rung]) >= LEFT_FLOOR for e in ended
    )


def agreement(entries: Sequence[Entry], rung: int, last: int) -> Agreement:
    """How the means of the objectives on a rung and on the last one agree in order.

    Only memories that no rung can stop count: of the others only those are seen that did well.
    """
    pairs = [
        (fmean(each.values[rung]), fmean(each.values[last]))
        for each in entries
        if each.origin in EXEMPT and len(each.values) > last
    ]
    short, long = zip(*pairs, strict=True) if pairs else ((), ())
    if len(set(short)) < 2 or len(set(long)) < 2:
        return Agreement(len(pairs), 0.0)
    return Agreement(len(pairs), float(stats.spearmanr(short, long).statistic))
