"""Who worked at which trial and when, and what became of it: one line for each worker."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from miras.result import Sitting

from . import reading
from .style import INK, percent

PAUSE = 60.0
"""Seconds without anybody at work that are left out."""

PASSED = "passed a rung"
COLOURS = {
    "ok": "#56B4E9",
    PASSED: "#B8DDF2",
    "stopped": "#BBBBBB",
    "diverged": "#D55E00",
    "timed_out": "#E69F00",
    "out_of_memory": "#CC79A7",
    "invalid": "#009E73",
    "error": "#000000",
}


class Row(NamedTuple):
    """A worker at a trial, in seconds since the first one began; pauses of all are left out.

    `pauses` are the moments at which something was left out. A worker is a line of the figure: a
    `process` that begins after the last sitting of another one takes over its line.
    """

    panel: str
    worker: str
    number: int
    outcome: str
    start: float
    end: float
    pauses: tuple[float, ...]
    process: str


def table(records: reading.Records) -> list[Row]:
    """All sittings that the records know, in the order in which they began."""
    found: list[tuple[Sitting, int, str]] = []
    for record in records:
        last = len(record.sittings) - 1
        for place, sitting in enumerate(record.sittings):
            found.append((sitting, record.number, record.status if place == last else PASSED))
    found.sort(key=lambda each: (each[0].started, each[1]))
    pauses = _pauses([sitting for sitting, _, _ in found])
    first = found[0][0].started if found else 0.0
    marks = tuple(_at(until, first, pauses) for _, until in pauses)
    lines = _lines([sitting for sitting, _, _ in found])
    rows: list[Row] = []
    for sitting, number, outcome in found:
        worker = f"worker {lines[sitting.worker] + 1}"
        start, end = (_at(time, first, pauses) for time in (sitting.started, sitting.ended))
        rows.append(Row("workers", worker, number, outcome, start, end, marks, sitting.worker))
    return rows


def _lines(sittings: list[Sitting]) -> dict[str, int]:
    """The line of each process: the first whose last process had ended, or else a new one."""
    left: dict[str, float] = {}
    for sitting in sittings:
        left[sitting.worker] = max(sitting.ended, left.get(sitting.worker, sitting.ended))
    free: list[float] = []  # when the last process of each line ended for good
    lines: dict[str, int] = {}
    for sitting in sittings:
        if sitting.worker in lines:
            continue
        line = next((n for n, ended in enumerate(free) if ended <= sitting.started), len(free))
        lines[sitting.worker] = line
        free[line:] = [left[sitting.worker], *free[line + 1 :]]
    return lines


def _pauses(sittings: list[Sitting]) -> list[tuple[float, float]]:
    """From when to when nobody worked for long; sittings come in the order of their start."""
    found: list[tuple[float, float]] = []
    busy = sittings[0].ended if sittings else 0.0
    for sitting in sittings:
        if sitting.started - busy > PAUSE:
            found.append((busy, sitting.started))
        busy = max(busy, sitting.ended)
    return found


def _at(time: float, first: float, pauses: list[tuple[float, float]]) -> float:
    """Seconds since the first moment, without the pauses before it."""
    return time - first - sum(until - since for since, until in pauses if until <= time)


def at_work(rows: list[Row]) -> float:
    """Share of the time in which processes worked, each from its first trial to its last one."""
    spans = 0.0
    for process in {row.process for row in rows}:
        own = [row for row in rows if row.process == process]
        spans += max(row.end for row in own) - min(row.start for row in own)
    return sum(row.end - row.start for row in rows) / spans if spans else 1.0


def height(rows: list[Row]) -> float:
    """Inches: a line for each worker."""
    return 1.9 + 0.34 * len({row.worker for row in rows})


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: bars on the line of their worker, coloured by outcome."""
    workers = list(dict.fromkeys(row.worker for row in rows))
    last = max(row.end for row in rows)
    unit, name = (
        (3600, "hours") if last > 7200 else (60, "minutes") if last > 180 else (1, "seconds")
    )
    for row in rows:
        wide = (row.end - row.start) / unit
        axes.barh(
            workers.index(row.worker), wide, 0.72, row.start / unit, color=COLOURS[row.outcome],
            edgecolor="white", linewidth=0.5, zorder=3,
        )  # fmt: skip
    for moment in rows[0].pauses:
        axes.axvline(moment / unit, color=INK, linewidth=0.9, linestyle=":", zorder=4)
    axes.set_yticks(range(len(workers)), workers)
    axes.set_ylim(len(workers) - 0.4, -0.6)
    axes.set_xlim(0, last / unit)
    axes.grid(axis="y", visible=False)
    aside = " (dotted: pauses, left out)" if rows[0].pauses else ""
    share = f"processes are at work {percent(at_work(rows))} of their time"
    axes.set_title("Workers and trials")
    axes.set_xlabel(f"{name} since the first trial began{aside}\n{share}")
    marks = [
        Patch(color=colour, label=_counted(outcome, rows))
        for outcome, colour in COLOURS.items()
        if any(row.outcome == outcome for row in rows)
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=3, columnspacing=1)


def _counted(outcome: str, rows: list[Row]) -> str:
    return f"{outcome.replace('_', ' ')} ({sum(row.outcome == outcome for row in rows)})"
