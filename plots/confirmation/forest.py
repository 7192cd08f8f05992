"""A finalist against others, one line for each comparison, with the interval of the difference."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import Finding

from ..style import FOUND, KNOWN, QUIET

TITLES = {
    "lead": "tasks of the study",
    "neighbour": "nearest known",
    "held_out": "held-out tasks",
    "beyond": "longer than trained",
    "size": "",
    "convolution": "without convolution",
    "ablation": "",
}
"""Comparisons in the order of the figure."""


class Row(NamedTuple):
    """One comparison: score of the finalist (`panel`) less that of the other, 95 % interval."""

    panel: str
    label: str
    against: str
    mean: float
    low: float
    high: float
    verdict: str


def table(findings: Sequence[Finding]) -> list[Row]:
    """All differences, finalist by finalist, in the order of `TITLES`."""
    rows: list[Row] = []
    found = [each for each in findings if each.topic in TITLES and each.mean is not None]
    for name in dict.fromkeys(each.subject for each in found):
        for topic, title in TITLES.items():
            for each in found:
                if (each.topic, each.subject) != (topic, name) or each.mean is None:
                    continue
                label = title or (each.where if topic == "size" else f"own {each.where}")
                against = "that of the nearest" if topic == "ablation" else each.against
                low, high = each.low, each.high
                if low is not None and high is not None:
                    rows.append(Row(name, label, against, each.mean, low, high, each.verdict))
    return rows


def height(rows: Sequence[Row]) -> float:
    """Inches: two lines of text for each comparison."""
    return 1.3 + 0.36 * len(rows)


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """One panel: right of the line the finalist is better."""
    colours = {"better": FOUND, "worse": KNOWN}
    axes.axvline(0.0, color=QUIET, linewidth=0.9)
    for place, row in enumerate(rows):
        colour = colours.get(row.verdict, QUIET)
        axes.hlines(place, row.low, row.high, colors=colour, linewidth=1.8)
        axes.plot(row.mean, place, "o", color=colour, markersize=5.5)
    labels = [f"{row.label}\nagainst {row.against}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    axes.set_title(rows[0].panel)
    axes.set_xlabel("difference of scores, 95 %\n(grey: none is shown)")
