"""Bits per byte of text, beside what counting n-grams gives; less is better."""

from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from . import reading
from .style import FLOOR, FOUND, INK, KNOWN, RANDOM, RANDOM_ARM, readable

BITS, FLOORS = "bits_per_byte", "floor/"
KINDS = {"baseline": "known memory", "search": "candidate", "random": RANDOM_ARM}
COUNTING = "counting"
COLOURS = {"known memory": KNOWN, "candidate": FOUND, RANDOM_ARM: RANDOM, COUNTING: INK}


class Row(NamedTuple):
    """One memory, or a predictor that only counts, on one task of text (`panel`), best first.

    `kind` is known memory, candidate, random arm or counting; there is one number for each seed.
    """

    panel: str
    name: str
    kind: str
    bits: float
    seeds: tuple[float, ...]


def table(records: reading.Records) -> list[Row]:
    """Known memories and the three best candidates of each task that measures bits per byte."""
    rows: list[Row] = []
    for task in reading.tasks(records):
        found: list[Row] = []
        floors: dict[str, list[float]] = {}
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            metrics = [run.metrics for run in reading.results(record, task) if BITS in run.metrics]
            if not metrics:
                continue
            seeds = tuple(metric[BITS] for metric in metrics)
            kind = KINDS[record.origin]
            found.append(Row(task, reading.label(record), kind, fmean(seeds), seeds))
            for key, number in ((key, n) for metric in metrics for key, n in metric.items()):
                if key.startswith(FLOORS):
                    floors.setdefault(key.removeprefix(FLOORS), []).append(number)
        for name, numbers in floors.items():
            mean = fmean(numbers)
            found.append(Row(task, name, COUNTING, mean, (mean,)))
        rows += sorted(found, key=lambda row: row.bits)
    return rows


def height(rows: list[Row]) -> float:
    """Inches: one line for each memory."""
    return 1.4 + 0.2 * len(rows)


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a dot for each mean, faint ones for seeds, thin lines for counting."""
    for place, row in enumerate(rows):
        colour = COLOURS[row.kind]
        if row.kind == COUNTING:
            axes.axvline(row.bits, color=colour, lw=FLOOR, zorder=1)
        if len(row.seeds) > 1:
            axes.scatter(row.seeds, [place] * len(row.seeds), s=14, color=colour, alpha=0.35, lw=0)
        axes.plot(row.bits, place, "D" if row.kind == COUNTING else "o", color=colour)
        axes.annotate(
            f"{row.bits:.2f}", (max(row.seeds), place), (7, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=readable(colour),
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(readable(COLOURS[row.kind]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.grid(axis="y", visible=False)
    axes.set_title(f"Text, less is better: {rows[0].panel}")
    seeds = max(len(row.seeds) for row in rows)
    axes.set_xlabel("bits per byte" + (f" (mean and {seeds} seeds)" if seeds > 1 else ""))
    marks = [
        Line2D([], [], marker="D" if kind == COUNTING else "o", ls="", color=colour, label=kind)
        for kind, colour in COLOURS.items()
        if any(row.kind == kind for row in rows)
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=3, columnspacing=1)
