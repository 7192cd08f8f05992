"""Score against what it costs: which memories no other beats on both."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from miras.statistics.dominance import front

from . import reading
from .costs import COSTS, STATE, Cost, cost_of
from .style import FOUND, INK, KNOWN, RANDOM, RANDOM_ARM, End, name_ends


class Row(NamedTuple):
    """One trained memory on one objective, against one cost; both with one standard error."""

    panel: str
    name: str
    origin: str
    cost: str
    size: float
    least: float
    most: float
    score: float
    low: float
    high: float
    on_front: bool


LOOKS = {
    "baseline": (KNOWN, "s", "known memory"),
    "search": (FOUND, "o", "candidate"),
    "random": (RANDOM, "D", RANDOM_ARM),
}

WIDE = 6.0
"""Times the smallest cost from which on a logarithmic axis shows more."""


def table(records: reading.Records) -> list[Row]:
    """Every trained memory with its score and cost.

    Each objective against the state, and the mean of them (or the only one) against other costs,
    where they were measured and differ.
    """
    found = reading.panels(records)
    rows = [row for panel in found for row in _panel(records, panel, STATE)]
    for cost in COSTS:
        if found and cost is not STATE:
            more = _panel(records, found[0], cost)
            rows += more if len({row.size for row in more}) > 1 else []
    return rows


def _panel(records: reading.Records, objective: str, cost: Cost) -> list[Row]:
    members = reading.tasks_of(records, objective)
    found = [
        (record, value, paid)
        for record, value in reading.scored([r for r in records if r.origin != "null"], objective)
        if (paid := cost_of(record, cost))
    ]
    sign = 1 if cost.more_is_better else -1
    best = front([(value, sign * paid.mean) for _, value, paid in found])
    panel = objective if cost is STATE else f"{objective}, {cost.name}"
    rows: list[Row] = []
    for (record, value, paid), on_front in zip(found, best, strict=True):
        low, high, _ = reading.interval(value, reading.seed_scores(record, members))
        name = reading.label(record)
        rows.append(Row(panel, name, record.origin, cost.name, *paid, value, low, high, on_front))
    return rows


def height(rows: list[Row]) -> float:
    """Inches: room for one name per known memory and per member of the front."""
    return max(3.6, 1.5 + 0.17 * len(_named(rows)))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: points with standard errors, the front as steps, the names at the right."""
    for origin, (colour, marker, text) in LOOKS.items():
        chosen = [row for row in rows if row.origin == origin]
        if chosen:
            sizes = [row.size for row in chosen]
            scores = [row.score for row in chosen]
            above = 4 if origin == "baseline" else 3
            axes.scatter(sizes, scores, s=26, c=colour, marker=marker, label=text, zorder=above)
            lows, highs = [row.low for row in chosen], [row.high for row in chosen]
            axes.vlines(sizes, lows, highs, colors=colour, linewidth=1)
            lefts, rights = [row.least for row in chosen], [row.most for row in chosen]
            axes.hlines(scores, lefts, rights, colors=colour, linewidth=1)
    cost = next(cost for cost in COSTS if cost.name == rows[0].cost)
    _front(axes, rows, cost)
    _scale(axes, rows, cost)
    axes.margins(x=0.08, y=0.08)
    ends = [End(r.size, r.score, r.name, LOOKS[r.origin][0]) for r in _named(rows)]
    name_ends(axes, ends)
    axes.set_title(f"Score and {cost.name}: {rows[0].panel.removesuffix(f', {cost.name}')}")
    several = any(row.low < row.high for row in rows)
    bars = "\n(bars: standard error over seeds)" if several else ""
    axes.set_ylabel(f"score (0 = floor, 1 = ceiling){bars}")
    axes.figure.legend(loc="outside lower left", ncols=4, columnspacing=1)


def _front(axes: Axes, rows: list[Row], cost: Cost) -> None:
    """What can be had at a cost: to the right of a member of the front, to the left of a fast one.

    It ends where the figure does.
    """
    edge = sorted((row.size, row.score) for row in rows if row.on_front)
    if cost.more_is_better:
        edge.insert(0, (min(row.size for row in rows), edge[0][1]))
    else:
        edge.append((max(row.size for row in rows), edge[-1][1]))
    sizes, scores = zip(*edge, strict=True)
    where = "pre" if cost.more_is_better else "post"
    axes.step(sizes, scores, where=where, color=INK, linewidth=1, label="front", zorder=2)


def _scale(axes: Axes, rows: list[Row], cost: Cost) -> None:
    sizes = [row.size for row in rows]
    if max(sizes) < WIDE * min(sizes):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.set_xlabel(cost.label)
    else:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=5))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"{cost.label.removesuffix(')')}, log scale)")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _named(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.origin == "baseline" or row.on_front]
