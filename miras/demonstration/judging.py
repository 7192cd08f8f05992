"""What became of the claims of a row."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from miras.demonstration.running import key_of
from miras.demonstration.spec import AnyRow
from miras.part import SpecError
from miras.result import Claimed, Shown, Verdict
from miras.streams import Scores


def judge(row: AnyRow, results: Sequence[Shown]) -> Verdict | None:
    """Means, spreads and claims of a row; None while a memory has no result."""
    found: dict[str, list[Shown]] = {}
    for name in row.memories:
        key = key_of(row, name)
        found[name] = [each for each in results if (each.row, each.key) == (row.name, key)]
        if not found[name]:
            return None
    means = {name: _over(each, fmean) for name, each in found.items()}
    spreads = {name: _over(each, _spread) for name, each in found.items()}
    for claim in row.claims:
        if claim.metric not in means[claim.memory]:
            raise SpecError(
                f"row {row.name} claims something of {claim.metric!r}: {claim.memory} has"
                f" {', '.join(means[claim.memory])}"
            )
    claims = tuple(
        Claimed(
            text=claim.text(),
            memory=claim.memory,
            metric=claim.metric,
            found=means[claim.memory][claim.metric],
            bound=claim.bound(means),
            reached=claim.holds(means),
        )
        for claim in row.claims
    )
    return Verdict(
        row=row.name,
        number=row.number,
        system=row.system,
        title=row.title,
        metric=row.metric,
        better=row.better,
        curve=row.curve,
        columns=row.columns,
        note=" ".join(row.note.split()),
        candidates=tuple(row.candidates),
        controls=tuple(row.controls),
        means=means,
        spreads=spreads,
        state_floats={name: each[0].state_floats for name, each in found.items()},
        parameters={name: each[0].parameters for name, each in found.items()},
        settings={name: each[0].settings for name, each in found.items()},
        seeds=min(len(each) for each in found.values()),
        seconds=round(sum(one.seconds for each in found.values() for one in each), 1),
        claims=claims,
        reached=all(claim.reached for claim in claims),
    )


def _over(results: Sequence[Shown], what: Callable[[list[float]], float]) -> Scores:
    return {
        metric: float(what([each.metrics[metric] for each in results]))
        for metric in results[0].metrics
    }


def _spread(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
