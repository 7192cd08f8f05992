"""The page of a sweep: for each comparison the memories with scores, rates and costs."""

from collections.abc import Sequence
from statistics import fmean, stdev

from miras.result import Result
from miras.statistics import SOLVED, interquartile_mean, median_wait, success, wait

from .rates import width
from .standing import Place, Standing

SHOWN = ("accuracy", "bits", "error", "tv", "stale")
"""Metrics of a table, by how their names begin."""

NOTES = (
    "Test split. Mean and standard deviation over seeds; the learning rate was chosen on the first"
    " seed by the validation score from rates that are the same for all, one notch more where the"
    " best was at an edge. Good rates are those within 10 % of the best validation score, of all"
    " that were tried, and the decades around the best that they span. Middle half: interquartile"
    " mean of the scores. Solved: seeds with a ladder of at least 0.9, and the 95 % Wilson interval"
    " of that rate. Tokens until 0.9: median of Kaplan and Meier of when the validation score was"
    " there; runs that never were count as still waiting. State floats are per layer, the short"
    " convolution's included; parameters without embedding; operations are those of the forward"
    " pass for one token at the longest trained length; tokens per second on one core, as busy as"
    " it was."
)


def page(standing: Standing) -> str:
    """A Markdown page of all comparisons."""
    sweep = standing.sweep
    lines = [f"# {sweep.name}", "", sweep.description, ""]
    for index, comparison in enumerate(sweep.compare):
        lines += [f"## {comparison.title}", "", *section(standing, index)]
    return "\n".join([*lines, NOTES, ""])


def section(standing: Standing, index: int) -> list[str]:
    """Shell and table of one comparison."""
    comparison = standing.sweep.compare[index]
    shell = ", ".join(f"{name} {value}" for name, value in comparison.shell.model_dump().items())
    names = [memory.name for memory in comparison.entrants]
    found = [standing.progress(Place(index, number)) for number in range(len(names))]
    metrics = list(
        dict.fromkeys(
            name
            for each in found
            for run in each.final[:1]
            for name in run.metrics
            if name.startswith(SHOWN)
        )
    )
    head = [
        *("memory", "rate", "good rates", "state floats", "parameters", "operations / token"),
        *("tokens / s", "seeds", "score", "middle half", "solved", "tokens until 0.9", *metrics),
    ]
    rows: list[str] = []
    for name, each in zip(names, found, strict=True):
        runs = each.final
        if not runs:
            rows.append(f"| {name} | not finished |" + " |" * (len(head) - 2))
            continue
        good = width(each.first)
        rate = success([run.solving or 0.0 for run in runs])
        cells = [
            name,
            f"{runs[0].learning_rate:g}",
            f"{good.good} of {good.tried}, {good.decades:.1f} decades",
            str(runs[0].state_floats),
            _number(runs[0].parameters_without_embedding),
            _number(runs[0].flops_per_token),
            _number(fmean([run.tokens_per_second or 0.0 for run in runs]) or None),
            str(len(runs)),
            spread([run.score for run in runs]),
            f"{interquartile_mean([run.score or 0.0 for run in runs]):.3f}",
            f"{rate.solved} of {rate.runs} ({rate.low:.2f}–{rate.high:.2f})",
            until(runs),
            *(spread([run.metrics.get(metric) for run in runs]) for metric in metrics),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *rows]
    return [f"Shell: {shell}.", "", *lines, ""]


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation, if every run has a value."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not numbers:
        return "diverged"
    return f"{fmean(numbers):.3f}" + (f" ± {stdev(numbers):.3f}" if len(numbers) > 1 else "")


def until(runs: Sequence[Result]) -> str:
    """Tokens until half of the runs had a validation score of at least 0.9."""
    waits = [wait(((p.tokens, p.score) for p in run.curve), SOLVED) for run in runs]
    found = median_wait(waits)
    median = _number(found.median) if found.reached * 2 >= found.runs else "–"
    return f"{median} ({found.reached} of {found.runs})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
