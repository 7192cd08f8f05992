"""What became of the trials, in order, and the best score so far."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import reading
from .style import FOUND, INK, KNOWN, QUIET, RANDOM, RANDOM_ARM

LOOKS = {
    "baseline": (KNOWN, "s", "known memory"),
    "null": (QUIET, "s", "known memory, repeated"),
    "search": (FOUND, "o", "candidate"),
    "random": (RANDOM, "D", RANDOM_ARM),
}
UNSCORED = {
    "stopped": ".",
    "diverged": "x",
    "invalid": "|",
    "out_of_memory": "v",
    "timed_out": "<",
    "error": "*",
}


LINE = 0.05
"""Height of the line of one outcome without a score, as a share of the panel."""


class Row(NamedTuple):
    """One trial; `best` is the best score of the trials of its own arm up to and with this one.

    Arms: known memories and their repetitions, the search, and the random arm.
    """

    panel: str
    number: int
    origin: str
    status: str
    score: float | None
    best: float | None


def table(records: reading.Records) -> list[Row]:
    """All trials in their order, on the mean of the objectives (on the only one if it is one)."""
    names = reading.objectives(records)
    panel = names[0] if len(names) == 1 else reading.MEAN
    found = {record.number: value for record, value in reading.scored(records, panel)}
    best: dict[str, float | None] = {}
    rows: list[Row] = []
    for record in sorted(records, key=lambda record: record.number):
        value = found.get(record.number)
        arm = record.origin if reading.is_candidate(record) else "baseline"
        known = [number for number in (best.get(arm), value) if number is not None]
        best[arm] = max(known, default=None)
        rows.append(Row(panel, record.number, record.origin, record.status, value, best[arm]))
    return rows


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a point for each trial, best so far as steps, other outcomes below."""
    last = max(row.number for row in rows)
    for origin, (colour, marker, text) in LOOKS.items():
        chosen = [row for row in rows if row.origin == origin]
        done = [(row.number, row.score) for row in chosen if row.score is not None]
        if done:
            numbers, scores = zip(*done, strict=True)
            axes.scatter(numbers, scores, s=22, c=colour, marker=marker, label=text, zorder=3)
        steps = [(row.number, row.best) for row in chosen if row.best is not None]
        if steps and origin != "null":
            numbers, best = zip(*steps, (last, steps[-1][1]), strict=True)
            axes.step(numbers, best, where="post", color=colour, linewidth=1.2, alpha=0.8)
    if all(row.score is None for row in rows):
        axes.set_ylim(0, 1)
    low, high = axes.get_ylim()
    places = {status: [r.number for r in rows if r.status == status] for status in UNSCORED}
    places = {status: numbers for status, numbers in places.items() if numbers}
    below = LINE * (len(places) + 0.5)
    axes.set_ylim(low - below / (1 - below) * (high - low), high)
    axes.set_xlim(min(row.number for row in rows) - 1, last + 1)
    for line, (status, numbers) in enumerate(reversed(places.items())):
        axes.scatter(
            numbers,
            [LINE * (line + 0.6)] * len(numbers),
            s=10,
            c=INK,
            marker=UNSCORED[status],
            lw=0.6,
            label=f"{status.replace('_', ' ')} ({len(numbers)})",
            transform=axes.get_xaxis_transform(),
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_title(f"Trials in order: {rows[0].panel}")
    axes.set_xlabel("trial number")
    axes.set_ylabel("score (0 = floor, 1 = ceiling)")
    axes.figure.legend(loc="outside lower left", ncols=3, columnspacing=1)
