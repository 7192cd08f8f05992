"""Accuracy against difficulty: more pairs, longer sequences, further from the training lengths."""

import re
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from miras.result import TrialRecord

from . import reading
from .style import FLOOR, INK, End, draw_floor, legend_of_arms, name_ends, strokes

MEANING = {
    "K": "pairs to recall, K",
    "L": "sequence length (tokens)",
    "n": "tokens to copy, n",
    "length": "sequence length (tokens)",
}
"""What a difficulty is, in words; others are called by their own name."""


class Row(NamedTuple):
    """One memory on one rung of a task; the `panel` is the task and what makes the rung hard.

    From the metrics `accuracy/<difficulty>=<number>`, with a suffix `,...` on a rung that is
    `beyond` what was trained, and `floor/...` of the same name or `floor` of all rungs.
    """

    panel: str
    number: int
    name: str
    origin: str
    difficulty: str
    rung: float
    accuracy: float
    seeds: tuple[float, ...]
    floor: float | None
    beyond: bool


RUNG = re.compile(r"accuracy/(?P<difficulty>[^=]+)=(?P<number>\d+(\.\d+)?)(?P<beyond>,.*)?")


def table(records: reading.Records) -> list[Row]:
    """Mean accuracy over seeds on every rung: known memories and three best candidates per task."""
    rows: list[Row] = []
    for task in reading.tasks(records):
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            rows += _rungs(task, record)
    return rows


def _rungs(task: str, record: TrialRecord) -> list[Row]:
    """The rungs of one memory, in order; of two with one number the trained one."""
    metrics = [result.metrics for result in reading.results(record, task)]
    rows: dict[tuple[str, float], Row] = {}
    for key in sorted({key for metric in metrics for key in metric}):
        rung = RUNG.fullmatch(key)
        if rung is None:
            continue
        seeds = tuple(metric[key] for metric in metrics if key in metric)
        own = key.replace("accuracy/", "floor/", 1)
        known = [metric.get(own, metric.get("floor")) for metric in metrics]
        floors = [floor for floor in known if floor is not None]
        row = Row(
            panel=f"{task}, {rung['difficulty']}",
            number=record.number,
            name=reading.label(record),
            origin=record.origin,
            difficulty=rung["difficulty"],
            rung=float(rung["number"]),
            accuracy=fmean(seeds),
            seeds=seeds,
            floor=fmean(floors) if floors else None,
            beyond=rung["beyond"] is not None,
        )
        place = (row.difficulty, row.rung)
        if place not in rows or not row.beyond:
            rows[place] = row
    return [rows[place] for place in sorted(rows)]


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return max(3.5, 1.2 + 0.18 * len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a line for each memory, a faint dot for each seed, a thin line for the floor."""
    found = {row.number: row.origin for row in rows}
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
    marks = sorted({row.rung for row in rows})
    if marks[0] > 0 and marks[-1] / marks[0] >= 4:
        axes.set_xscale("log", base=2)
    floors = sorted({(row.rung, row.floor) for row in rows if row.floor is not None})
    if floors:
        draw_floor(axes, floors)
        axes.plot([], [], color=INK, lw=FLOOR, label="floor: the best guess without memory")
    beyond = {row.rung for row in rows if row.beyond}
    axes.set_xticks(marks, [f"{mark:g}" + "*" * (mark in beyond) for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())
    low = min(min(row.seeds) for row in rows)
    axes.set_ylim(min(0.0, low) - 0.02, 1.03)
    several = max(len(row.seeds) for row in rows)
    axes.set_title(f"Accuracy by difficulty: {rows[0].panel}")
    meaning = MEANING.get(rows[0].difficulty, rows[0].difficulty)
    scale = ", log scale" if axes.get_xscale() == "log" else ""
    axes.set_xlabel(meaning + scale + ("; * never trained" if beyond else ""))
    axes.set_ylabel("accuracy" + (f" ({several} seeds, min to max)" if several > 1 else ""))
    name_ends(axes, ends)
    legend_of_arms(axes, found.values())
