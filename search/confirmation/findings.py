"""What a confirmation found, as records: every number of its page is one of these.

A memory counts in a setting when all its runs there have ended. A run without a score counts as 0,
whatever ended it: on fresh seeds to diverge is to fail.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean

from miras.result import Finding, Result, Topic, TrialRecord
from miras.statistics import mean_interval

from ..study import Study, measured_by
from ..sweep.standing import Standing
from ..workers.progress import duration
from .aftermath import of_search
from .asked import ABLATION, NEIGHBOUR, Asked
from .checklist import checklist
from .confirmation import BARE, HELD_OUT, OWN, Confirmation
from .costs import costs, ended, runs_told, widths
from .leads import Pair, against_best, leads
from .sides import Sides, role

BEYOND = re.compile(r"(score|accuracy)/[^=/]+=[\d.]+,.+")
"""Metrics of a task beyond the lengths of its training, as the figures read them too."""

TOPICS: dict[str, Topic] = {OWN: "lead", HELD_OUT: "held_out", BARE: "convolution"}


def findings(
    study: Study,
    records: Sequence[TrialRecord],
    plan: Confirmation,
    standing: Standing,
    asked: Asked | None = None,
) -> list[Finding]:
    """All that was found so far; comparisons with the best baseline wait until all have ended.

    `asked` is what the study has asked of fresh seeds, this plan included.
    """
    sides = Sides(plan, standing, asked)
    count, seconds = standing.left()
    found = [
        *_scores(sides),
        *differences(sides),
        *_neighbours(sides),
        *_beyond(sides),
        *widths(sides),
        *costs(sides),
        *of_search(study, records, {n: _again(study, sides, n) for n in _known(plan)}, plan),
        runs_told(records, standing, sides.asked),
    ]
    if count:
        text = f"{count} runs are left"
        if any(standing.runs.values()):  # else nothing is known of how long they take
            text += f", about {duration(seconds)} of one core"
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
        failed = Counter(run.status for run in runs if run.status != "ok")
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
            numbers={"validation": side.validation, "failed": failed.total()}
            | {f"failed {status}": count for status, count in failed.items()}
            | {f"task {task}": fmean(scores.values()) for task, scores in side.test.items()},
            sentence=f"{name}, {setting}: of {len(runs)} runs {ended(failed)}; each counts as 0"
            if failed
            else "",
        )


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
        among = sides.asked.among(setting, len(plan.finalists))
        yield from against_best(topic, finalists, baselines, setting, among)


def _neighbours(sides: Sides) -> Iterator[Finding]:
    plan = sides.plan
    pairs: list[Pair] = []
    for name, near in plan.neighbours.items():
        first, second = sides.side(OWN, name), sides.side(OWN, near)
        if first and second:
            pairs.append(Pair(first, second, OWN))
    yield from leads("neighbour", pairs, sides.asked.among(NEIGHBOUR, len(plan.neighbours)))
    pairs = []
    for each in plan.ablations:
        first, second = sides.side(OWN, each.finalist), sides.side(OWN, each.name)
        if first and second:
            pairs.append(Pair(first, second, each.slot))
    yield from leads("ablation", pairs, sides.asked.among(ABLATION, len(plan.ablations)))


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
    among = sides.asked.among(OWN, len(plan.finalists))
    yield from against_best("beyond", finalists, baselines, OWN, among)


def beyond(run: Result) -> float | None:
    """Mean over the difficulties beyond training; None if the task has none."""
    names = [name for name in run.metrics if BEYOND.fullmatch(name)]
    scores = [name for name in names if name.startswith("score")] or names
    return fmean(run.metrics[name] for name in scores) if scores else None


def _again(study: Study, sides: Sides, name: str) -> float | None:
    """Mean over the objectives of the study on fresh seeds."""
    side = sides.side(OWN, name)
    if side is None:
        return None
    members = measured_by(study)
    means = {task: fmean(scores.values()) for task, scores in side.test.items()}
    return fmean(fmean(means[task] for task in members[name]) for name in study.measures)
