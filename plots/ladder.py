"""Accuracy against difficulty: more pairs, longer sequences, further from the training lengths."""

import math
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from . import reading
from .style import QUIET, End, name_ends, strokes

MEANING = {
    "K": "pairs to recall, K",
    "L": "sequence length (tokens)",
    "n": "tokens to copy, n",
    "length": "sequence length (tokens)",
}
"""What a difficulty is, in words; others are called by their own name."""


class Row(NamedTuple):
    """One memory on one rung of a task; the `panel` is the task and what makes the rung hard.

    From the metrics `accuracy/<difficulty>=<number>` and `floor/<difficulty>=<number>`.
    """

    panel: str
    number: int
    name: str
    candidate: bool
    difficulty: str
    rung: float
    accuracy: float
    seeds: tuple[float, ...]
    floor: float | None


def table(records: reading.Records) -> list[Row]:
    """Mean accuracy over seeds on every rung: known memories and three best candidates per task."""
    rows: list[Row] = []
    for task in reading.tasks(records):
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            found = reading.results(record, task)
            metrics = [result.metrics for result in found]
            for key in sorted({key for metric in metrics for key in metric}, key=_order):
                kind, _, rung = key.partition("/")
                difficulty, _, number = rung.partition("=")
                if kind != "accuracy" or not _is_number(number):
                    continue
                seeds = tuple(metric[key] for metric in metrics if key in metric)
                floor = f"floor/{rung}"
                floors = [metric[floor] for metric in metrics if floor in metric]
                rows.append(
                    Row(
                        panel=f"{task}, {difficulty}",
                        number=record.number,
                        name=reading.label(record),
                        candidate=reading.is_candidate(record),
                        difficulty=difficulty,
                        rung=float(number),
                        accuracy=fmean(seeds),
                        seeds=seeds,
                        floor=fmean(floors) if floors else None,
                    )
                )
    return rows


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _order(key: str) -> tuple[str, float]:
    name, _, number = key.partition("=")
    return name, float(number) if _is_number(number) else 0.0


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return max(3.5, 1.2 + 0.18 * len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a line for the mean of each memory, a faint dot for each seed, a dotted floor."""
    found = {row.number: row.candidate for row in rows}
    ends: list[End] = []
    for number, stroke in zip(found, strokes(list(found.values())), strict=True):
        line = [row for row in rows if row.number == number]
        rungs, means = [row.rung for row in line], [row.accuracy for row in line]
        axes.plot(rungs, means, color=stroke.colour, ls=stroke.dashes, lw=stroke.width, marker=".")
        if max(len(row.seeds) for row in line) > 1:
            lows, highs = [min(row.seeds) for row in line], [max(row.seeds) for row in line]
            axes.fill_between(rungs, lows, highs, color=stroke.colour, alpha=0.08, lw=0)
            dots = [(row.rung, seed) for row in line for seed in row.seeds]
            axes.scatter(*zip(*dots, strict=True), s=9, color=stroke.colour, alpha=0.35, lw=0)
        ends.append(End(rungs[-1], means[-1], line[0].name, stroke.colour))
    floors = sorted({(row.rung, row.floor) for row in rows if row.floor is not None})
    if floors:
        axes.plot(*zip(*floors, strict=True), color=QUIET, ls=":", lw=1.4)
        mark = Line2D([], [], color=QUIET, ls=":", label="floor: the best guess without memory")
        axes.figure.legend(handles=[mark], loc="outside lower left")
    marks = sorted({row.rung for row in rows})
    if marks[0] > 0 and marks[-1] / marks[0] >= 4:
        axes.set_xscale("log", base=2)
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())
    low = min(min(row.seeds) for row in rows)
    axes.set_ylim(min(0.0, low) - 0.02, 1.03)
    several = max(len(row.seeds) for row in rows)
    axes.set_title(f"Accuracy by difficulty: {rows[0].panel}")
    meaning = MEANING.get(rows[0].difficulty, rows[0].difficulty)
    axes.set_xlabel(meaning + (" (log scale)" if axes.get_xscale() == "log" else ""))
    axes.set_ylabel("accuracy" + (f" ({several} seeds, min to max)" if several > 1 else ""))
    name_ends(axes, ends)
