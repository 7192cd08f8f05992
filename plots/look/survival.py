"""Survival: the share of slots whose content is not yet overwritten after so many tokens."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import Seen

from ..style import End, name_ends, room, strokes
from .seen import of

NORMAL = 1.959964
"""Of a normal distribution 95 % lie within so many standard deviations."""


class Row(NamedTuple):
    """The share of contents that last longer than so many tokens, with an interval of 95 %.

    Kaplan and Meier: contents that the end of the sequence cut off count as long as they were seen.
    Greenwood's variance on the scale of log(-log), which keeps the interval within 0 and 1.
    """

    panel: str
    name: str
    tokens: float
    share: float
    low: float
    high: float
    at_risk: int
    overwritten: int
    cut_off: int


def table(seen: Sequence[Seen]) -> list[Row]:
    """One row for each time at which something happened, from 0 on, memory by memory."""
    rows: list[Row] = []
    for look in of(seen, "survival"):
        panel = f"slots over {look.task}"
        name = look.name + ("" if look.trained else " (as drawn)")
        rows += estimate(
            panel,
            name,
            [
                (float(time or 0), int(ended or 0), int(cut or 0))
                for time, ended, cut in zip(
                    *(look.series[each] for each in ("tokens", "overwritten", "cut off")),
                    strict=True,
                )
            ],
        )
    return rows


def estimate(panel: str, name: str, counts: Sequence[tuple[float, int, int]]) -> list[Row]:
    """Kaplan and Meier's estimate from (tokens, overwritten, cut off), times growing."""
    at_risk = sum(ended + cut for _, ended, cut in counts)
    share, spread = 1.0, 0.0
    rows = [Row(panel, name, 0.0, 1.0, 1.0, 1.0, at_risk, 0, 0)] if counts else []
    for time, ended, cut in counts:
        share *= 1 - ended / at_risk
        spread += ended / (at_risk * (at_risk - ended)) if at_risk > ended else math.inf
        low, high = _interval(share, spread)
        rows.append(Row(panel, name, time, share, low, high, at_risk, ended, cut))
        at_risk -= ended + cut
    return rows


def _interval(share: float, spread: float) -> tuple[float, float]:
    if not 0 < share < 1:
        return share, share
    error = NORMAL * math.sqrt(spread) / abs(math.log(share))
    return share ** math.exp(error), share ** math.exp(-error)


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return room(len({row.name for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """A staircase for each memory, a tick where contents were cut off, a band of 95 %."""
    names = list(dict.fromkeys(row.name for row in rows))
    ends: list[End] = []
    for name, stroke in zip(names, strokes(["baseline"] * len(names)), strict=True):
        line = [row for row in rows if row.name == name]
        times, shares = [row.tokens for row in line], [row.share for row in line]
        axes.plot(
            times, shares, drawstyle="steps-post", color=stroke.colour, ls=stroke.dashes,
            lw=stroke.width,
        )  # fmt: skip
        bands = [row.low for row in line], [row.high for row in line]
        axes.fill_between(times, *bands, step="post", color=stroke.colour, alpha=0.12, lw=0)
        cut = [(row.tokens, row.share) for row in line if row.cut_off]
        if cut:
            axes.plot(*zip(*cut, strict=True), "|", color=stroke.colour, ms=5, mew=0.8)
        ends.append(End(times[-1], shares[-1], f"{name}, n = {line[0].at_risk:,}", stroke.colour))
    axes.set_ylim(-0.02, 1.03)
    axes.set_xlim(left=0)
    axes.set_title(f"How long a content stays: {rows[0].panel}", fontsize=9.5)
    axes.set_xlabel("tokens since it was written; ticks: the text ended")
    axes.set_ylabel("share not yet overwritten\n(95 %, as if independent)")
    name_ends(axes, ends)
