"""The best candidates of each objective among the known memories."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from . import reading
from .style import FOUND, KNOWN, QUIET, RANDOM, RANDOM_ARM, readable

BEST = 8
"""Candidates shown for each objective."""


class Row(NamedTuple):
    """One memory on one objective (`panel`), best first; low and high: one standard error.

    `solved` counts the seeds with a score of at least `miras.statistics.SOLVED`.
    """

    panel: str
    name: str
    origin: str
    score: float
    low: float
    high: float
    seeds: int
    solved: int
    equals: tuple[str, ...]


def table(records: reading.Records) -> list[Row]:
    """For each objective all known memories, their duplicates and the best candidates."""
    rows: list[Row] = []
    for panel in reading.panels(records):
        members = reading.tasks_of(records, panel)
        left = BEST
        for record, value in reading.scored(records, panel):
            if reading.is_candidate(record):
                left -= 1
                if left < 0:
                    continue
            scores = reading.seed_scores(record, members) or [value]
            low, high, seeds = reading.interval(value, scores)
            solved = reading.solved(record, members, scores).solved
            name, origin = reading.label(record), record.origin
            rows.append(Row(panel, name, origin, value, low, high, seeds, solved, record.equals))
    return rows


def height(rows: list[Row]) -> float:
    """Inches: one line for each memory."""
    return 1.3 + 0.19 * len(rows)


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a dot for each memory with its standard error, best at the top."""
    colours = {"baseline": KNOWN, "search": FOUND, "random": RANDOM, "null": QUIET}
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        colour = colours[row.origin]
        filled = colour if not row.equals or row.origin == "baseline" else "white"
        axes.hlines(place, row.low, row.high, colors=colour, linewidth=1.6)
        axes.plot(row.score, place, "o", color=colour, markerfacecolor=filled, markersize=6)
        axes.annotate(
            f"{row.score:.3f}", (row.high, place), (6, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=readable(colour),
        )  # fmt: skip
    axes.set_yticks(list(places), [row.name for row in rows])
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(readable(colours[row.origin]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.14)
    seeds = max(row.seeds for row in rows)
    error = f"± 1 standard error ({seeds} seeds)" if seeds > 1 else "(0 = floor, 1 = ceiling)"
    axes.set_xlabel(f"score {error}")
    axes.set_title(f"Best by {rows[0].panel}")
    texts = {"baseline": "known memory", "search": "candidate", "random": RANDOM_ARM}
    texts["null"] = "known memory, repeated"
    used = [origin for origin in texts if any(row.origin == origin for row in rows)]
    marks = [Line2D([], [], marker="o", ls="", color=colours[o], label=texts[o]) for o in used]
    if any(row.equals and row.origin in ("search", "random") for row in rows):
        hollow = Line2D([], [], marker="o", ls="", color=FOUND, mfc="white")
        hollow.set_label("equals a known one")
        marks.append(hollow)
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=2, columnspacing=1)
