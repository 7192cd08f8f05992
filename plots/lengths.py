"""Length extrapolation: score against multiples of the longest length that was trained."""

import re
from typing import Any, NamedTuple, cast

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from miras.result import Result

from . import reading
from .setups import Mean, draw_means, setups
from .style import QUIET, End, legend_of_arms, name_ends, room, strokes

LONGER = re.compile(r"score/(?P<load>[^=/]+=[\d.]+),L=(?P<length>\d+)")
TRACKED = re.compile(r"score/L=(?P<length>\d+)")


class Row(NamedTuple):
    """One memory at one length, as a multiple of the trained one. `panel` is task and load.

    The score is 0 at the floor and 1 if all is right; the interval is Student's of 95 %.
    """

    panel: str
    number: int
    name: str
    origin: str
    trained: int
    multiple: float
    score: float
    low: float
    high: float
    seeds: tuple[float, ...]


def table(records: reading.Records) -> list[Row]:
    """Trained length first, then the longer ones with the same load."""
    rows: list[Row] = []
    for setup in setups(records):
        for member in setup.members:
            trained, load = _trained(member.runs[0])
            means = member.means(lambda run: points(run)) if trained else {}
            if len(means) < 2:
                continue
            rows += [
                Row(
                    panel=f"{setup.title}, {load}" if load else setup.title,
                    number=member.record.number,
                    name=reading.label(member.record),
                    origin=member.record.origin,
                    trained=trained,
                    multiple=length / trained,
                    score=mean.mean,
                    low=mean.low,
                    high=mean.high,
                    seeds=mean.seeds,
                )
                for length, mean in means.items()
            ]
    return rows


def _trained(run: Result) -> tuple[int, str]:
    """The trained length and the load that longer sequences have too; 0 if there are none."""
    task = cast("dict[str, Any]", run.settings.get("task") or {})
    if "longest" in task and any(map(TRACKED.fullmatch, run.metrics)):
        return int(task["longest"]), ""
    found = [match for metric in run.metrics if (match := LONGER.fullmatch(metric))]
    loads = {float(match["load"].partition("=")[2]): match["load"] for match in found}
    for length, load in task.get("rungs") or ():
        if load in loads and f"score/{loads[load]}" in run.metrics:
            return int(length), loads[load]
    return 0, ""


def points(run: Result) -> dict[float, float]:
    """Score by length, the trained one included."""
    trained, load = _trained(run)
    metrics = run.metrics
    if load:
        found = {float(trained): metrics[f"score/{load}"]}
        longer = ((LONGER.fullmatch(metric), value) for metric, value in metrics.items())
        return found | {float(m["length"]): v for m, v in longer if m and m["load"] == load}
    floor = metrics.get("floor", 0.0)
    right = max(0.0, (metrics["accuracy/trained"] - floor) / (1 - floor))
    longer = ((TRACKED.fullmatch(metric), value) for metric, value in metrics.items())
    return {float(trained): right} | {float(m["length"]): v for m, v in longer if m}


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return room(len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """A line with bars for each memory; the trained length is marked."""
    axes.axvline(1, color=QUIET, lw=1.0)
    axes.annotate(
        "trained", (1, 1.08), xytext=(3, 0), textcoords="offset points", fontsize=7.5,
        color="#666666", va="top", annotation_clip=False,
    )  # fmt: skip
    found = {row.number: row.origin for row in rows}
    ends: list[End] = []
    for place, (number, stroke) in enumerate(
        zip(found, strokes(list(found.values())), strict=True)
    ):
        line = [row for row in rows if row.number == number]
        at = [row.multiple * 2 ** (0.04 * (place - (len(found) - 1) / 2)) for row in line]
        means = [Mean(row.score, row.low, row.high, row.seeds) for row in line]
        draw_means(axes, at, means, stroke)
        ends.append(End(at[-1], line[-1].score, line[0].name, stroke.colour))
    marks = sorted({row.multiple for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(marks, [f"{mark:.3g}×" for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.09)
    seeds = max(len(row.seeds) for row in rows)
    axes.set_title(rows[0].panel, fontsize=9.5)
    axes.set_xlabel(f"length as a multiple of the trained {rows[0].trained} tokens")
    axes.set_ylabel("score, 0 floor" + (f" (95 %, {seeds} seeds)" if seeds > 1 else ""))
    name_ends(axes, ends)
    legend_of_arms(axes, found.values())
