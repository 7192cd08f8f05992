"""A number that is followed: over passes, rewrites, ages or tokens."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from miras.result import Shown, Verdict

from ..style import End, name_ends, strokes
from .points import plain, wrapped
from .words import metric, over


class Row(NamedTuple):
    """One memory at one place of a curve."""

    title: str
    name: str
    candidate: bool
    what: str
    over: str
    place: float
    mean: float
    seeds: tuple[float, ...]


def table(verdict: Verdict, results: Sequence[Shown]) -> list[Row]:
    """The points of the curve of each memory, in order; metrics are called `what/over=number`."""
    what, _, along = verdict.curve.partition("/")
    rows: list[Row] = []
    for name in (*verdict.candidates, *verdict.controls):
        mine = [each for each in results if (each.row, each.name) == (verdict.row, name)]
        places: dict[float, list[float]] = {}
        for each in mine:
            for found, value in each.metrics.items():
                head, _, number = found.partition("=")
                if head == verdict.curve:
                    places.setdefault(float(number), []).append(value)
        for place in sorted(places):
            seeds = tuple(places[place])
            candidate = name in verdict.candidates
            rows.append(
                Row(verdict.title, name, candidate, what, along, place, fmean(seeds), seeds)
            )
    return rows


def height(rows: Sequence[Row]) -> float:
    """Inches: room for the names."""
    return max(3.3, 1.2 + 0.2 * len({row.name for row in rows}))


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for the mean of each memory, a band from the smallest to the largest seed."""
    found = {row.name: "search" if row.candidate else "baseline" for row in rows}
    ends: list[End] = []
    for name, stroke in zip(found, strokes(list(found.values())), strict=True):
        line = [row for row in rows if row.name == name]
        places, means = [row.place for row in line], [row.mean for row in line]
        lows, highs = [min(row.seeds) for row in line], [max(row.seeds) for row in line]
        axes.plot(places, means, color=stroke.colour, ls=stroke.dashes, lw=stroke.width, marker=".")
        axes.fill_between(places, lows, highs, color=stroke.colour, alpha=0.1, lw=0)
        ends.append(End(places[-1], means[-1], name, stroke.colour))
    marks = sorted({row.place for row in rows})
    if marks[0] > 0 and marks[-1] / marks[0] >= 8 and len(marks) < 9:
        axes.set_xscale("log", base=2)
    if len(marks) < 9:
        axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    means = [row.mean for row in rows]
    if min(means) > 0 and max(means) > 100 * min(means):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
    elif min(means) >= 0 and max(means) <= 1:
        axes.set_ylim(-0.02, 1.03)
    axes.set_title(wrapped(rows[0].title, 34))
    axes.set_xlabel(over(rows[0].over))
    seeds = max(len(row.seeds) for row in rows)
    axes.set_ylabel(f"{metric(rows[0].what)}\n({seeds} seeds, min to max)")
    name_ends(axes, ends)
