"""What a confirmation found, as records: every number of its page is one of these.

A memory counts in a setting when all its runs there have ended. A run without a score counts as 0,
whatever ended it: on fresh seeds to diverge is to fail.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal

from miras.result import Finding, Result, Topic, TrialRecord
from miras.statistics import mean_interval

from ..study import Study, measured_by
from ..sweep.rates import width
from ..sweep.standing import Place, Standing
from ..workers.progress import duration
from .aftermath import of_search
from .checklist import checklist
from .confirmation import BARE, HELD_OUT, OWN, Confirmation
from .leads import Pair, Side, against_best, leads

BEYOND = re.compile(r"(score|accuracy)/[^=/]+=[\d.]+,.+")
"""Metrics of a task beyond the lengths of its training, as the figures read them too."""

TOPICS: dict[str, Topic] = {OWN: "lead", HELD_OUT: "held_out", BARE: "convolution"}

Value = Callable[[Result], float | None]


def _score(run: Result) -> float | None:
    return run.score


class Sides:
    """The memories of a confirmation, in each of its settings."""

    def __init__(self, plan: Confirmation, standing: Standing) -> None:
        self.plan = plan
        self.places: dict[tuple[str, str], list[Place]] = {}
        for index, comparison in enumerate(plan.sweep.compare):
            for number, memory in enumerate(comparison.entrants):
                place = self.places.setdefault((plan.settings[index], memory.name), [])
                place.append(Place(index, number))
        self.progress = {
            place: standing.progress(place) for places in self.places.values() for place in places
        }

    def runs(self, setting: str, name: str) -> list[Result]:
        """The runs at the chosen rates, on all tasks; none while one is missing."""
        places = self.places.get((setting, name), [])
        if not all(self.progress[place].complete for place in places):
            return []
        return [run for place in places for run in self.progress[place].final]

    def side(
        self, setting: str, name: str, value: Value = _score, tasks: Container[str] | None = None
    ) -> Side | None:
        """A memory with its scores; None while a run is missing, or if it has no such values."""
        test: dict[str, dict[int, float]] = {}
        runs = self.runs(setting, name)
        for run in (each for each in runs if tasks is None or each.task in tasks):
            number = value(run) if run.status == "ok" else 0.0
            if number is not None:
                test.setdefault(run.task, {})[run.seed] = number
        if not test:
            return None
        validation = [(run.validation or 0.0) if run.status == "ok" else 0.0 for run in runs]
        return Side(name, test, fmean(validation))

    def sides(
        self,
        setting: str,
        names: Iterable[str],
        value: Value = _score,
        tasks: Container[str] | None = None,
    ) -> list[Side]:
        """Those of the memories that are complete in a setting."""
        return [side for name in names if (side := self.side(setting, name, value, tasks))]

    def at_edge(self, place: Place) -> bool:
        """Whether the chosen rate is the lowest or the highest that was tried."""
        found = self.progress[place]
        tried = [run.learning_rate for run in found.first]
        return len(tried) > 1 and found.rate in (min(tried), max(tried))

    def whole(self, setting: str, names: Sequence[str]) -> bool:
        """Whether all of these that take part in a setting are complete."""
        there = [name for name in names if (setting, name) in self.places]
        return all(self.runs(setting, name) for name in there)


def findings(
    study: Study, records: Sequence[TrialRecord], plan: Confirmation, standing: Standing
) -> list[Finding]:
    """All that was found so far; comparisons with the best baseline wait until all have ended."""
    sides = Sides(plan, standing)
    count, seconds = standing.left()
    found = [
        *_scores(sides),
        *differences(sides),
        *_neighbours(sides),
        *_beyond(sides),
        *_widths(sides),
        *_costs(sides),
        *of_search(study, records, {n: _again(study, sides, n) for n in _known(plan)}, plan),
        _runs(records, standing),
    ]
    if count:
        text = f"{count} runs are left, about {duration(seconds)} of one core"
        found.append(Finding(topic="left", numbers={"runs": count}, sentence=text))
    found += [Finding(topic="left", sentence=f"left out: {each}") for each in plan.left_out]
    return [*found, *checklist(study, plan, found)]


def _known(plan: Confirmation) -> list[str]:
    return [*plan.finalists, *plan.baselines]


def _scores(sides: Sides) -> Iterator[Finding]:
    for (setting, name), places in sides.places.items():
        side = sides.side(setting, name)
        if side is None:
            continue
        seeds = sorted(set[int].intersection(*(set(scores) for scores in side.test.values())))
        means = [fmean(scores[seed] for scores in side.test.values()) for seed in seeds]
        mean, low, high, _ = mean_interval(means)
        runs = sides.runs(setting, name)
        failed = sum(run.status != "ok" for run in runs)
        yield Finding(
            topic="score",
            subject=name,
            role=role(sides.plan, name),
            where=setting,
            mean=mean,
            low=low,
            high=high,
            tasks=len(places),
            pairs=len(runs),
            numbers={"validation": side.validation, "failed": failed}
            | {f"task {task}": fmean(scores.values()) for task, scores in side.test.items()},
        )


def role(plan: Confirmation, name: str) -> Literal["finalist", "baseline", "neighbour", "ablation"]:
    """What a memory is there for."""
    if name in plan.finalists:
        return "finalist"
    if name in plan.baselines:
        return "baseline"
    return "neighbour" if name in plan.neighbours.values() else "ablation"


def differences(sides: Sides) -> Iterator[Finding]:
    """Finalists against the best baseline in each setting that has ended."""
    plan = sides.plan
    for setting in dict.fromkeys(plan.settings):
        if not sides.whole(setting, _known(plan)):
            continue
        finalists, baselines = (
            sides.sides(setting, names) for names in (plan.finalists, plan.baselines)
        )
        topic = TOPICS.get(setting, "size")
        yield from against_best(topic, finalists, baselines, setting, len(plan.finalists))


def _neighbours(sides: Sides) -> Iterator[Finding]:
    plan = sides.plan
    pairs: list[Pair] = []
    for name, near in plan.neighbours.items():
        first, second = sides.side(OWN, name), sides.side(OWN, near)
        if first and second:
            pairs.append(Pair(first, second, OWN))
    yield from leads("neighbour", pairs, len(plan.neighbours))
    pairs = []
    for each in plan.ablations:
        first, second = sides.side(OWN, each.finalist), sides.side(OWN, each.name)
        if first and second:
            pairs.append(Pair(first, second, each.slot))
    yield from leads("ablation", pairs, len(plan.ablations))


def _beyond(sides: Sides) -> Iterator[Finding]:
    """Finalists against the best baseline on sequences longer than those of the training."""
    plan = sides.plan
    if not sides.whole(OWN, _known(plan)):
        return
    tasks = {
        run.task
        for name in _known(plan)
        for run in sides.runs(OWN, name)
        if run.status == "ok" and beyond(run) is not None
    }
    if not tasks:
        return

    def value(run: Result) -> float | None:
        return beyond(run) if run.task in tasks else None

    finalists, baselines = (
        sides.sides(OWN, names, value, tasks) for names in (plan.finalists, plan.baselines)
    )
    yield from against_best("beyond", finalists, baselines, OWN, len(plan.finalists))


def beyond(run: Result) -> float | None:
    """Mean over the difficulties beyond training; None if the task has none."""
    names = [name for name in run.metrics if BEYOND.fullmatch(name)]
    scores = [name for name in names if name.startswith("score")] or names
    return fmean(run.metrics[name] for name in scores) if scores else None


def _widths(sides: Sides) -> Iterator[Finding]:
    for name in dict.fromkeys(name for _, name in sides.places):
        places = sides.places.get((OWN, name), [])
        found = [width(sides.progress[place].first) for place in places]
        if not found or not sides.runs(OWN, name):
            continue
        yield Finding(
            topic="width",
            subject=name,
            role=role(sides.plan, name),
            where=OWN,
            tasks=len(found),
            numbers={
                "good": fmean(each.share for each in found),
                "decades": fmean(each.decades for each in found),
                "tried": sum(each.tried for each in found),
                "at edge": sum(map(sides.at_edge, places)),
            },
        )


COSTS: Mapping[str, Value] = {
    "parameters": lambda run: run.parameters_without_embedding,
    "state floats": lambda run: run.state_floats,
    "operations per token": lambda run: run.flops_per_token,
    "tokens": lambda run: run.tokens,
    "tokens per second": lambda run: run.tokens_per_second,
    "seconds": lambda run: run.seconds,
}


def _costs(sides: Sides) -> Iterator[Finding]:
    for setting, name in sides.places:
        runs = [run for run in sides.runs(setting, name) if run.status == "ok"]
        numbers = {
            title: fmean(values)
            for title, cost in COSTS.items()
            if (values := [value for run in runs if (value := cost(run)) is not None])
        }
        if numbers:
            yield Finding(
                topic="cost",
                subject=name,
                role=role(sides.plan, name),
                where=setting,
                pairs=len(runs),
                numbers=numbers,
            )


def _again(study: Study, sides: Sides, name: str) -> float | None:
    """Mean over the objectives of the study on fresh seeds."""
    side = sides.side(OWN, name)
    if side is None:
        return None
    members = measured_by(study)
    means = {task: fmean(scores.values()) for task, scores in side.test.items()}
    return fmean(fmean(means[task] for task in members[name]) for name in study.measures)


def _runs(records: Sequence[TrialRecord], standing: Standing) -> Finding:
    trained = [run for record in records for run in record.results]
    again = {id(run): run for runs in standing.runs.values() for run in runs}.values()
    numbers = {
        "trials": len(records),
        "trials without a score": sum(record.status not in ("ok", "stopped") for record in records),
        "runs of the search": len(trained),
        "runs of the confirmation": len(again),
        "failed runs of the confirmation": sum(run.status != "ok" for run in again),
        "hours": sum(run.seconds for run in (*trained, *again)) / 3600,
    }
    text = (
        f"{numbers['runs of the search']} runs in {len(records)} trials of the search and"
        f" {len(again)} runs of the confirmation, {numbers['hours']:.1f} hours of one core"
    )
    return Finding(topic="runs", numbers=numbers, sentence=text)
