"""How fast each memory learns: score against tokens, task by task."""

from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from miras.result import Point

from . import reading
from .style import End, legend_of_arms, name_ends, strokes


class Row(NamedTuple):
    """One evaluation of one memory on one task (`panel`): mean, least and greatest over seeds."""

    panel: str
    number: int
    name: str
    origin: str
    tokens: int
    score: float
    low: float
    high: float
    seeds: int


def table(records: reading.Records) -> list[Row]:
    """Validation curves of the known memories and of the three best candidates of each task."""
    rows: list[Row] = []
    for task in reading.tasks(records):
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            at: dict[int, list[Point]] = {}  # by step: texts of one seed are longer than another's
            for result in reading.results(record, task):
                for point in result.curve:
                    at.setdefault(point.step, []).append(point)
            rows += [
                Row(
                    panel=task,
                    number=record.number,
                    name=reading.label(record),
                    origin=record.origin,
                    tokens=round(fmean(point.tokens for point in points)),
                    score=fmean(point.score for point in points),
                    low=min(point.score for point in points),
                    high=max(point.score for point in points),
                    seeds=len(points),
                )
                for _, points in sorted(at.items())
            ]
    return rows


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return max(3.3, 1.0 + 0.18 * len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a line for each memory, a band from least to greatest with several seeds."""
    found = {row.number: row.origin for row in rows}
    ends: list[End] = []
    for number, stroke in zip(found, strokes(list(found.values())), strict=True):
        line = [row for row in rows if row.number == number]
        tokens, scores = [row.tokens for row in line], [row.score for row in line]
        axes.plot(tokens, scores, color=stroke.colour, ls=stroke.dashes, lw=stroke.width)
        if max(row.seeds for row in line) > 1:
            lows, highs = [row.low for row in line], [row.high for row in line]
            axes.fill_between(tokens, lows, highs, color=stroke.colour, alpha=0.08, lw=0)
        ends.append(End(tokens[-1], scores[-1], line[0].name, stroke.colour))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.xaxis.set_major_formatter(_count)
    axes.set_title(f"Learning curves: {rows[0].panel}")
    axes.set_xlabel("training tokens")
    several = max(row.seeds for row in rows) > 1
    axes.set_ylabel("validation score, 0 = floor" + ("\n(band: min to max)" if several else ""))
    name_ends(axes, ends)
    legend_of_arms(axes, found.values())


def _count(value: float, _: float | int) -> str:
    """1500000 as 1.5 M."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
