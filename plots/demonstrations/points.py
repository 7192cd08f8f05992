"""One number per memory: the mean, each seed, and what is claimed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from miras.result import Shown, Verdict

from ..style import FOUND, INK, KNOWN, QUIET
from .words import metric


class Row(NamedTuple):
    """One memory of a demonstration."""

    title: str
    name: str
    candidate: bool
    metric: str
    better: str
    mean: float
    seeds: tuple[float, ...]
    bounds: tuple[float, ...]  # what is claimed of this metric of this memory


def table(verdict: Verdict, results: Sequence[Shown]) -> list[Row]:
    """The memories of a row in its order, candidates first."""
    rows: list[Row] = []
    for name in (*verdict.candidates, *verdict.controls):
        claims = [each for each in verdict.claims if each.memory == name]
        rows.append(
            Row(
                title=verdict.title,
                name=name,
                candidate=name in verdict.candidates,
                metric=verdict.metric,
                better=verdict.better,
                mean=verdict.means[name][verdict.metric],
                seeds=tuple(
                    each.metrics[verdict.metric]
                    for each in results
                    if (each.row, each.name) == (verdict.row, name)
                ),
                bounds=tuple(
                    each.bound
                    for each in claims
                    if each.metric == verdict.metric and math.isfinite(each.bound)
                ),
            )
        )
    return rows


def height(rows: Sequence[Row]) -> float:
    """Inches: a line for each memory."""
    return 1.5 + 0.34 * len(rows)


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """A line per memory: dots for seeds, a bar for the mean, a grey tick for what is claimed."""
    for place, row in enumerate(reversed(rows)):
        colour = FOUND if row.candidate else KNOWN
        axes.scatter(row.seeds, [place] * len(row.seeds), s=22, color=colour, alpha=0.45, lw=0)
        axes.plot([row.mean] * 2, [place - 0.24, place + 0.24], color=colour, lw=2.4)
        for bound in row.bounds:
            axes.plot([bound] * 2, [place - 0.42, place + 0.42], color=QUIET, lw=1.2, ls=":")
    numbers = [number for row in rows for number in (*row.seeds, *row.bounds)]
    positive = [number for number in numbers if number > 0]
    share = rows[0].better == "higher" and min(numbers) >= 0 and max(numbers) <= 1
    if not share and len(positive) == len(numbers) and max(positive) > 5 * min(positive):
        axes.set_xscale("log")
        few = max(positive) < 30 * min(positive)  # powers of ten alone would be one or two
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif share:
        axes.set_xlim(-0.03, 1.03)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.set_title(wrapped(rows[0].title))
    several = max(len(row.seeds) for row in rows)
    axes.set_xlabel(f"{metric(rows[0].metric)}\nmean and {several} seeds, dotted: claimed")
    for label, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
        label.set_color(FOUND if row.candidate else INK)


def plain(number: float, _: int = 0) -> str:
    """A tick of a logarithmic axis: the shared style writes no formulas."""
    return f"{number:g}"


def wrapped(title: str, width: int = 40) -> str:
    """A title on as many lines as it needs."""
    lines = [""]
    for word in title.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
