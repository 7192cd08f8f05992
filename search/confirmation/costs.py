"""What a confirmation has cost: runs and how they ended, learning rates, and what memories need."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from miras.result import Finding, TrialRecord

from ..sweep.rates import width
from ..sweep.standing import Standing
from .asked import Asked
from .confirmation import OWN
from .sides import Sides, Value, role

ENDINGS: Mapping[str, str] = {
    "diverged": "diverged",
    "out_of_memory": "ran out of memory",
    "timed_out": "took longer than `limits` allow",
    "invalid": "could not be built",
    "error": "raised an error",
}


def ended(failed: Mapping[str, int]) -> str:
    """How runs without a score have ended, in words."""
    return ", ".join(f"{count} {ENDINGS[status]}" for status, count in failed.items())


def widths(sides: Sides) -> Iterator[Finding]:
    """How wide the range of good learning rates is."""
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


STATE = "state floats"

COSTS: Mapping[str, Value] = {
    "parameters": lambda run: run.parameters_without_embedding,
    STATE: lambda run: run.state_floats,
    "operations per token": lambda run: run.flops_per_token,
    "tokens": lambda run: run.tokens,
    "tokens per second": lambda run: run.tokens_per_second,
    "seconds": lambda run: run.seconds,
}


def costs(sides: Sides) -> Iterator[Finding]:
    """What each memory needs, in means over its runs; of states that grow, the largest."""
    for setting, name in sides.places:
        runs = [run for run in sides.runs(setting, name) if run.status == "ok"]
        numbers = {
            title: float(max(values)) if title == STATE else fmean(values)
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


def runs_told(records: Sequence[TrialRecord], standing: Standing, asked: Asked) -> Finding:
    """All that was trained for the study, and how it ended."""
    trained = [run for record in records for run in record.results]
    again = {id(run): run for runs in standing.runs.values() for run in runs}.values()
    failed = Counter(run.status for run in again if run.status != "ok")
    seconds = max(sum(run.seconds for run in again), asked.seconds)
    numbers = {
        "trials": len(records),
        "trials without a score": sum(record.status not in ("ok", "stopped") for record in records),
        "runs of the search": len(trained),
        "runs of the confirmation": max(len(again), asked.runs),
        "runs that count no more": max(0, asked.runs - len(again)),
        "finalists compared": asked.comparisons.get(OWN, 0),
        "failed runs of the confirmation": failed.total(),
        "hours": (sum(run.seconds for run in trained) + seconds) / 3600,
    }
    text = (
        f"{len(trained)} runs in {len(records)} trials of the search and"
        f" {numbers['runs of the confirmation']} runs of the confirmation, {numbers['hours']:.1f}"
        " hours of one core"
    )
    if numbers["runs that count no more"]:
        text += (
            f"; {numbers['runs that count no more']} runs were of other plans of the confirmation"
            " and are in no mean"
        )
    if failed:
        text += f"; of those that count {ended(failed)}"
    return Finding(topic="runs", numbers=numbers, sentence=text)
