"""What became of the claims of a sweep: does the suite show what the field knows?"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from miras.demonstration.spec import Claim
from miras.part import SpecError
from miras.result import Result

from .comparison import Comparison
from .standing import Place, Standing

Outcome = Literal["holds", "fails", "not run yet"]


class Checked(NamedTuple):
    """One claim: the mean over seeds, the bound, and in how many seeds it holds by itself."""

    text: str
    outcome: Outcome
    found: float
    bound: float
    held: int
    seeds: int


class Verdict(NamedTuple):
    """One comparison. It holds if all its claims do, and fails as soon as one does."""

    title: str
    outcome: Outcome
    claims: tuple[Checked, ...]
    runs: int
    seconds: float


def verdicts(standing: Standing) -> list[Verdict]:
    """One for each comparison that claims something."""
    compare = standing.sweep.compare
    return [verdict(standing, index) for index, each in enumerate(compare) if each.claims]


def verdict(standing: Standing, index: int) -> Verdict:
    """What became of one comparison."""
    comparison = standing.sweep.compare[index]
    found = {
        memory.name: standing.progress(Place(index, number))
        for number, memory in enumerate(comparison.memories)
    }
    ready = {name: each.final for name, each in found.items() if each.complete}
    claims = tuple(_checked(comparison, claim, ready) for claim in comparison.claims)
    outcomes = {claim.outcome for claim in claims}
    outcome: Outcome = "holds"
    for worse in ("not run yet", "fails"):
        outcome = worse if worse in outcomes else outcome
    runs = [run for each in found.values() for run in each.runs]
    return Verdict(comparison.title, outcome, claims, len(runs), sum(run.seconds for run in runs))


def _checked(
    comparison: Comparison, claim: Claim, ready: Mapping[str, Sequence[Result]]
) -> Checked:
    names = [name for name in (claim.memory, claim.times, claim.plus) if name]
    if any(name not in ready for name in names):
        return Checked(claim.text(), "not run yet", math.nan, math.nan, 0, 0)
    values = {name: [_metric(run, claim.metric) for run in ready[name]] for name in names}
    seeds = len(values[claim.memory])
    means = {name: {claim.metric: fmean(each)} for name, each in values.items()}
    alone = [
        {name: {claim.metric: each[seed]} for name, each in values.items()} for seed in range(seeds)
    ]
    held = sum(claim.holds(one) for one in alone)
    holds = held == seeds if comparison.every_seed else claim.holds(means)
    return Checked(
        text=claim.text(),
        outcome="holds" if holds else "fails",
        found=means[claim.memory][claim.metric],
        bound=claim.bound(means),
        held=held,
        seeds=seeds,
    )


def _metric(run: Result, name: str) -> float:
    """The metric; not a number if the run failed, and then no claim about it holds."""
    if run.status != "ok":
        return math.nan
    if name not in run.metrics:
        raise SpecError(
            f"a claim speaks of {name!r}: {run.task} measures {', '.join(sorted(run.metrics))}"
        )
    return run.metrics[name]
