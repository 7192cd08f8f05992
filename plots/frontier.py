"""Score against size of the state: which memories no other beats on both."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from miras.statistics.dominance import front

from . import reading
from .style import FOUND, INK, KNOWN, RANDOM, End, name_ends


class Row(NamedTuple):
    """One trained memory on one objective (`panel`), with one standard error over seeds."""

    panel: str
    name: str
    origin: str
    state_floats: int
    score: float
    low: float
    high: float
    on_front: bool


LOOKS = {
    "baseline": (KNOWN, "s", "known memory"),
    "search": (FOUND, "o", "candidate"),
    "random": (RANDOM, "D", "random arm"),
}


def table(records: reading.Records) -> list[Row]:
    """Every trained memory with its score and its state, in floats per layer."""
    rows: list[Row] = []
    shown = [r for r in records if r.origin != "null" and reading.state_floats(r) > 0]
    for panel in reading.panels(records):
        members = reading.tasks_of(records, panel)
        found = reading.scored(shown, panel)
        best = front([(value, -reading.state_floats(record)) for record, value in found])
        for (record, value), on_front in zip(found, best, strict=True):
            low, high, _ = reading.interval(value, reading.seed_scores(record, members))
            name, size = reading.label(record), reading.state_floats(record)
            rows.append(Row(panel, name, record.origin, size, value, low, high, on_front))
    return rows


def height(rows: list[Row]) -> float:
    """Inches: room for one name per known memory and per member of the front."""
    return max(3.6, 1.5 + 0.17 * len(_named(rows)))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: points with standard errors, the front as steps, the names at the right."""
    for origin, (colour, marker, text) in LOOKS.items():
        chosen = [row for row in rows if row.origin == origin]
        if chosen:
            sizes = [row.state_floats for row in chosen]
            scores = [row.score for row in chosen]
            above = 4 if origin == "baseline" else 3
            axes.scatter(sizes, scores, s=26, c=colour, marker=marker, label=text, zorder=above)
            lows, highs = [row.low for row in chosen], [row.high for row in chosen]
            axes.vlines(sizes, lows, highs, colors=colour, linewidth=1)
    edge = sorted((row.state_floats, row.score) for row in rows if row.on_front)
    right = max(row.state_floats for row in rows)
    sizes, scores = zip(*edge, (right, edge[-1][1]), strict=True)
    axes.step(sizes, scores, where="post", color=INK, linewidth=1, label="front", zorder=2)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=5))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08, y=0.08)
    ends = [End(r.state_floats, r.score, r.name, LOOKS[r.origin][0]) for r in _named(rows)]
    name_ends(axes, ends)
    axes.set_title(f"Score and state: {rows[0].panel}")
    axes.set_xlabel("state (floats per layer, log scale)")
    axes.set_ylabel("score (0 = floor, 1 = ceiling)")
    axes.figure.legend(loc="outside lower left", ncols=4, columnspacing=1)


def _named(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.origin == "baseline" or row.on_front]
