"""All comparisons of a gate on one page: who is expected ahead, who behind, and what was seen."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from miras.result import Result
from miras.statistics import mean_interval

from ..style import FOUND, KNOWN, QUIET

EXPECTED = {"solves": (KNOWN, "expected ahead"), "fails": (FOUND, "expected behind")}
"""Colours and words of what is known of a memory."""


class Group(NamedTuple):
    """One comparison: its final runs by memory, and what is known of these memories."""

    title: str
    solves: Sequence[str]
    fails: Sequence[str]
    runs: Mapping[str, Sequence[Result]]


class Row(NamedTuple):
    """One memory of one comparison; the interval is Student's, of 95 %, within 0 to 1."""

    title: str
    name: str
    expected: str  # a key of EXPECTED, or nothing if no claim is made of it
    score: float
    low: float
    high: float
    seeds: tuple[float, ...]


def table(groups: Sequence[Group]) -> list[Row]:
    """Comparisons in order, in each the memories from the best score to the worst."""
    rows: list[Row] = []
    for group in groups:
        here: list[Row] = []
        for name, runs in group.runs.items():
            seeds = tuple(run.score or 0.0 for run in runs)
            if not seeds:
                continue
            low = high = fmean(seeds)
            if len(seeds) > 1:
                _, low, high, _ = mean_interval(seeds)
            expected = "solves" if name in group.solves else "fails" if name in group.fails else ""
            low, high = max(0.0, low), min(1.0, high)
            here.append(Row(group.title, name, expected, fmean(seeds), low, high, seeds))
        rows += sorted(here, key=lambda row: -row.score)
    return rows


def height(rows: list[Row]) -> float:
    """Inches: a line for each memory and one for each title."""
    return 1.3 + 0.17 * (len(rows) + len({row.title for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One line for each memory under the title of its comparison, from the top down."""
    labels: list[str] = []
    title = ""
    for row in rows:
        if row.title != title:
            title = row.title
            labels.append("")
            axes.annotate(
                title, xy=(0, len(labels) - 1), fontsize=8, fontweight="bold", va="center",
                path_effects=[withStroke(linewidth=3, foreground="white")],  # no line through it
            )  # fmt: skip
        place = len(labels)
        labels.append(row.name)
        colour = EXPECTED[row.expected][0] if row.expected else QUIET
        axes.plot([row.low, row.high], [place, place], color=colour, lw=1.2)
        axes.scatter(row.seeds, [place] * len(row.seeds), s=8, color=colour, alpha=0.4, lw=0)
        axes.plot(row.score, place, "o", color=colour, ms=4)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(labels) - 0.4, -0.7)
    axes.set_xlim(-0.02, 1.02)
    axes.set_title("What is expected, and what was seen")
    axes.set_xlabel("score, 0 floor, 1 perfect; 95 % over seeds")
    marks = [
        Line2D([], [], color=colour, marker="o", lw=0, ms=4, label=words)
        for colour, words in (*EXPECTED.values(), (QUIET, "shown beside them"))
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=3, fontsize=7)
