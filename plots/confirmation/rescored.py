"""What the search saw of a memory, and what fresh seeds see: how much of a winner was luck."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import Finding

from ..style import FOUND, INK, KNOWN, QUIET, readable


class Row(NamedTuple):
    """A memory, or the line over all of them: then its name is empty and it goes from a to b."""

    panel: str
    name: str
    finalist: bool
    search: float
    again: float


def table(findings: Sequence[Finding]) -> list[Row]:
    """Finalists and baselines, then both ends of the line of regression where there is one."""
    panel = "Scores in the search and on fresh seeds"
    rows = [
        Row(
            panel,
            each.subject,
            each.role == "finalist",
            each.numbers["search"],
            each.numbers["again"],
        )
        for each in findings
        if each.topic == "rescored"
    ]
    line = next((each.numbers for each in findings if each.topic == "curse"), None)
    if line is None:
        return rows
    ends = [pick(row.search for row in rows) for pick in (min, max)]
    return rows + [Row(panel, "", False, x, line["intercept"] + line["slope"] * x) for x in ends]


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """One panel: what lies below the diagonal was better in the search than it is."""
    named = [row for row in rows if row.name]
    line = [row for row in rows if not row.name]
    values = [value for row in rows for value in (row.search, row.again)]
    low, high = min(values), max(values)
    pad = 0.06 * ((high - low) or 1.0)
    low, high = low - pad, high + pad
    axes.plot([low, high], [low, high], color=QUIET, linewidth=0.9, linestyle=":")
    if line:
        axes.plot([each.search for each in line], [each.again for each in line], color=INK, lw=1.0)
    for row in named:
        colour = FOUND if row.finalist else KNOWN
        axes.plot(row.search, row.again, "o", color=colour, markersize=5.5)
        if row.finalist:
            axes.annotate(
                row.name.split()[0], (row.search, row.again), (0, 7), textcoords="offset points",
                ha="center", fontsize=7.5, color=readable(colour),
            )  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_title(named[0].panel)
    axes.set_xlabel("validation score in the search")
    axes.set_ylabel("test score on fresh seeds")
