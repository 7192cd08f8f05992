"""What the search saw of a memory, and what fresh seeds see: how much of a winner was luck."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import Finding

from ..spots import Spot, name_spots
from ..style import FOUND, INK, KNOWN, QUIET


class Row(NamedTuple):
    """A memory, or the line over all of them: then its name is empty and it goes from a to b.

    `low` and `high` are the interval of 95 % of the score on fresh seeds; None where the score is a
    mean over objectives that weighs tasks in another way than the interval does.
    """

    panel: str
    name: str
    finalist: bool
    search: float
    again: float
    low: float | None
    high: float | None


def table(findings: Sequence[Finding]) -> list[Row]:
    """Finalists and baselines, then both ends of the line of regression where there is one."""
    panel = "Scores in the search and on fresh seeds"
    scores = [each for each in findings if each.topic == "score"]
    sure = {each.subject: each for each in scores if each.where == scores[0].where}
    rows: list[Row] = []
    for each in findings:
        if each.topic == "rescored":
            search, again = each.numbers["search"], each.numbers["again"]
            known = sure.get(each.subject)
            same = (
                known and known.mean is not None and math.isclose(known.mean, again, abs_tol=1e-9)
            )
            low, high = (known.low, known.high) if known and same else (None, None)
            finalist = each.role == "finalist"
            rows.append(Row(panel, each.subject, finalist, search, again, low, high))
    line = next((each.numbers for each in findings if each.topic == "curse"), None)
    if line is None:
        return rows
    ends = [pick(row.search for row in rows) for pick in (min, max)]
    means = [line["intercept"] + line["slope"] * x for x in ends]
    return rows + [
        Row(panel, "", False, x, y, None, None) for x, y in zip(ends, means, strict=True)
    ]


def height(rows: Sequence[Row]) -> float:
    """Inches: about square."""
    return 4.2


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """One panel: what lies below the diagonal was better in the search than it is."""
    named = [row for row in rows if row.name]
    line = [row for row in rows if not row.name]
    ends = [value for row in rows for value in (row.search, row.again, row.low, row.high)]
    values = [value for value in ends if value is not None]
    low, high = min(values), max(values)
    pad = 0.06 * ((high - low) or 1.0)
    low, high = low - pad, high + pad
    axes.plot([low, high], [low, high], color=QUIET, lw=0.9, ls=":", label="no change")
    if line:
        x, y = [each.search for each in line], [each.again for each in line]
        axes.plot(x, y, color=INK, lw=1.0, label="regression")
    for finalist, colour, text in ((False, KNOWN, "known memory"), (True, FOUND, "finalist")):
        own = [row for row in named if row.finalist == finalist]
        if own:
            x = [row.search for row in own]
            for r in own:
                if r.low is not None and r.high is not None and r.low < r.high:
                    axes.vlines(r.search, r.low, r.high, colors=colour, lw=1)
            again = [row.again for row in own]
            axes.plot(x, again, "o", color=colour, markersize=5.5, label=text)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_title(named[0].panel)
    axes.set_xlabel("validation score in the search")
    barred = any(row.low is not None for row in named)
    axes.set_ylabel("test score on fresh seeds" + (", 95 %" if barred else ""))
    axes.figure.legend(loc="outside lower left", ncols=4, columnspacing=1)
    colours = {True: FOUND, False: KNOWN}
    spots = [
        Spot(r.search, r.again, r.name.split()[0], colours[r.finalist], r.finalist) for r in named
    ]
    name_spots(axes, spots)
