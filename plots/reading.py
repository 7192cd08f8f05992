"""Quantities that several figures take from the records, each defined once."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations
from statistics import fmean, stdev
from typing import NamedTuple

from miras.result import Result, TrialRecord
from miras.statistics import Rate, success

MEAN = "mean of objectives"
Records = Sequence[TrialRecord]

Between = Callable[[Records], Sequence[Sequence[float]]]
"""How far each memory of some records is from each other one; NaN for one that cannot be read."""


class Interval(NamedTuple):
    """Mean minus and plus one standard error over seeds; the mean itself with one seed."""

    low: float
    high: float
    seeds: int


def objectives(records: Records) -> list[str]:
    """Names of the objectives, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record.objectives))


def panels(records: Records) -> list[str]:
    """The objectives, after their mean where there are several and some record has all of them."""
    names = objectives(records)
    whole = any(len(record.objectives) == len(names) for record in records)
    return [MEAN, *names] if len(names) > 1 and whole else names


def score(record: TrialRecord, objective: str) -> float | None:
    """Value of an objective or of their mean; None for a trial that did not end well."""
    values = record.objectives
    if record.status != "ok" or not values or not all(map(math.isfinite, values.values())):
        return None
    return fmean(values.values()) if objective == MEAN else values.get(objective)


def scored(records: Records, objective: str) -> list[tuple[TrialRecord, float]]:
    """The records that have a value of this objective, best first; for the mean, of all of them."""
    count = len(objectives(records)) if objective == MEAN else 0
    whole = [record for record in records if len(record.objectives) >= count]
    pairs = [(record, score(record, objective)) for record in whole]
    found = [(record, value) for record, value in pairs if value is not None]
    return sorted(found, key=lambda pair: (-pair[1], pair[0].number))


def is_candidate(record: TrialRecord) -> bool:
    """Whether the search proposed it, as against a known memory or its null duplicate."""
    return record.origin in ("search", "random")


def is_new(record: TrialRecord) -> bool:
    """Whether it is a candidate that equals no known memory."""
    return is_candidate(record) and bool(record.key) and not record.equals


def state_floats(record: TrialRecord) -> int:
    """State per layer, in floats: the largest that any task of the study needed."""
    return max((result.state_floats for result in record.results), default=0)


def parameters(record: TrialRecord) -> int:
    """Trained numbers, embedding included: the largest over tasks (vocabularies differ)."""
    return max((result.parameters for result in record.results), default=0)


def label(record: TrialRecord, width: int = 26) -> str:
    """Name for a figure: known memories by name, candidates by trial number and name."""
    name = record.name
    if record.origin == "null":
        name = f"{name[: width - 8]}, again"
    elif record.origin != "baseline" and str(record.number) not in name:
        name = f"#{record.number} {name}"
    return shortened(name, width)


def shortened(name: str, width: int = 26) -> str:
    """A name that fits."""
    return name if len(name) <= width else name[: width - 1].rstrip("-_ ") + "…"


def results(record: TrialRecord, task: str) -> list[Result]:
    """The results that count for a task: good ones of the last rung, at the chosen learning rate.

    A record that names no learning rate among its results (one rate per task) is read at the rate
    of the best mean validation score, of those with most seeds; never of the best test score.
    """
    found = [
        result
        for result in record.results
        if result.task == task
        and result.status == "ok"
        and (not record.seeds or result.seed in record.seeds)
    ]
    rates = {result.learning_rate for result in found}
    if len(rates) < 2:
        return found
    if record.learning_rate in rates:
        best = record.learning_rate
    else:
        best = max(sorted(rates), key=lambda rate: _promise(found, rate))
    return [result for result in found if result.learning_rate == best]


def _promise(found: Sequence[Result], rate: float) -> tuple[int, float]:
    """Seeds and mean validation score of a rate: others were left after the first seeds."""
    here = [result for result in found if result.learning_rate == rate]
    return len({result.seed for result in here}), fmean(map(_validation, here))


def _validation(result: Result) -> float:
    if result.validation is not None:
        return result.validation
    return result.curve[-1].score if result.curve else -math.inf


def tasks(records: Records) -> list[str]:
    """Names of the tasks, in the order of their first appearance."""
    return list(dict.fromkeys(result.task for record in records for result in record.results))


def task_score(record: TrialRecord, task: str) -> float | None:
    """Mean test score on a task over seeds."""
    found = [result.score for result in results(record, task) if result.score is not None]
    return fmean(found) if found else None


def tasks_of(records: Records, objective: str) -> tuple[str, ...]:
    """The tasks that an objective averages; empty if that cannot be told from the records.

    The records hold both, not their relation: it is the smallest set of tasks whose mean test
    score gives the objective in every record that has both.
    """
    names = tasks(records)
    if objective == MEAN:
        members = [tasks_of(records, name) for name in objectives(records)]
        return tuple(dict.fromkeys(chain(*members))) if all(members) else ()
    if objective in names:
        return (objective,)
    done = [record for record in records if score(record, objective) is not None]
    sets = (chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size))
    for chosen in sets:
        if done and all(_gives(record, chosen, record.objectives[objective]) for record in done):
            return chosen
    return ()


def _gives(record: TrialRecord, chosen: tuple[str, ...], value: float) -> bool:
    parts = [task_score(record, task) for task in chosen]
    known = [part for part in parts if part is not None]
    return len(known) == len(chosen) and math.isclose(fmean(known), value, abs_tol=1e-6)


def seed_scores(
    record: TrialRecord,
    chosen: Iterable[str],
    value: Callable[[Result], float | None] = lambda result: result.score,
) -> list[float]:
    """Mean score over these tasks for each seed that finished all of them, or another value."""
    per_task = [
        {each.seed: x for each in results(record, task) if (x := value(each)) is not None}
        for task in chosen
    ]
    if not per_task:
        return []
    shared = sorted(set[int].intersection(*(set(scores) for scores in per_task)))
    return [fmean(scores[seed] for scores in per_task) for seed in shared]


def solved(record: TrialRecord, chosen: Sequence[str], instead: Sequence[float]) -> Rate:
    """Seeds whose trained model solves these tasks; by other scores if seeds are not known."""
    found = seed_scores(record, chosen, lambda result: result.solving)
    return success(found or instead)


def interval(value: float, seeds: Sequence[float]) -> Interval:
    """Standard error around a mean; without a second seed there is none to be had."""
    if len(seeds) < 2:
        return Interval(value, value, max(1, len(seeds)))
    error = stdev(seeds) / math.sqrt(len(seeds))
    return Interval(value - error, value + error, len(seeds))


def shown(
    records: Records, value: Callable[[TrialRecord], float | None], best: int = 3
) -> list[TrialRecord]:
    """The memories that a figure of lines shows: the known ones, then the best candidates."""
    known = [record for record in records if record.origin == "baseline"]
    ranked = [(record, value(record)) for record in records if is_candidate(record)]
    found = [(record, number) for record, number in ranked if number is not None]
    found.sort(key=lambda pair: (-pair[1], pair[0].number))
    return known + [record for record, _ in found[:best]]


def completed(record: TrialRecord) -> TrialRecord:
    """The record; without objectives, as of a comparison, its test score on each task is one."""
    if record.objectives or record.status != "ok":
        return record
    scores = {task: task_score(record, task) for task in tasks([record])}
    known = {task: value for task, value in scores.items() if value is not None}
    return record.model_copy(update={"objectives": known})


def grouped(found: Iterable[Result], study: str = "") -> list[TrialRecord]:
    """Single results as records, one for each memory: for figures of runs without a study.

    A name that begins with the number of a trial is that of a candidate, as in a confirmation;
    the same with single choices changed is left out.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in found:
        groups.setdefault((result.key, result.name), []).append(result)
    records: list[TrialRecord] = []
    numbered = {name: re.fullmatch(r"#(\d+) (.+)", name) for _, name in groups}
    left = {int(found[1]) for found in numbered.values() if found}
    free = iter([number for number in range(len(groups) + len(left)) if number not in left])
    for (key, name), members in groups.items():
        candidate = numbered[name]
        number = int(candidate[1]) if candidate else next(free)
        if candidate and number not in left:
            continue
        left.discard(number)
        fine = any(result.status == "ok" for result in members)
        draft = TrialRecord(
            study=study,
            number=number,
            origin="search" if candidate else "baseline",
            name=candidate[2] if candidate else name,
            key=key,
            memory=members[0].memory,
            choices={},
            status="ok" if fine else members[0].status,
            reason="" if fine else members[0].reason,
            results=tuple(members),
            seconds=sum(result.seconds for result in members),
        )
        records.append(completed(draft))
    return records
