"""Capacity: accuracy against the number of pairs, among memories of equal state."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from miras.result import Result

from . import ladder, reading
from .setups import Mean, Member, draw_means, setups
from .style import QUIET, End, Stroke, draw_floor, legend_of_arms, name_ends, strokes

LOADS = ("K", "n")
"""Difficulties that are a number of things to remember."""

EQUAL = 1.1
"""States count as equal if the largest is at most this times the smallest."""


LARGER = Stroke(QUIET, "-", 1.0)
"""How memories of larger states are drawn."""


class Row(NamedTuple):
    """One memory at one load. `panel` is the task and the size of the state.

    The interval is Student's over seeds, of 95 %. A memory whose state is larger than that of the
    panel is drawn for comparison, `equal` is False.
    """

    panel: str
    number: int
    name: str
    origin: str
    equal: bool
    state_floats: int
    difficulty: str
    load: float
    accuracy: float
    low: float
    high: float
    seeds: tuple[float, ...]
    floor: float | None


def table(records: reading.Records) -> list[Row]:
    """The trained loads, in order, of memories that share their size with another one."""
    rows: list[Row] = []
    for setup in setups(records):
        members = [each for each in setup.members if _difficulty(each)]
        for group in (group for group in classes(members) if len(group) > 1):
            sizes = [member.state_floats for member in group]
            low, high = min(sizes), max(sizes)
            size = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            panel = f"{setup.title}: {size} floats of state"
            larger = [member for member in members if member.state_floats > high]
            rows += [
                row for member in (*group, *larger) for row in _rows(panel, member, member in group)
            ]
    return rows


def classes(members: Sequence[Member]) -> list[list[Member]]:
    """Memories of equal state together, small states first."""
    found: list[list[Member]] = []
    for member in sorted(members, key=lambda each: each.state_floats):
        if found and member.state_floats <= EQUAL * found[-1][0].state_floats:
            found[-1].append(member)
        else:
            found.append([member])
    return found


def _difficulty(member: Member) -> str:
    """What makes the trained rungs of a task hard, if it is a load; nothing else."""
    for metric in member.runs[0].metrics:
        rung = ladder.RUNG.fullmatch(metric)
        if rung and rung["difficulty"] in LOADS and not rung["beyond"]:
            return rung["difficulty"]
    return ""


def _rows(panel: str, member: Member, equal: bool) -> list[Row]:
    difficulty = _difficulty(member)

    def of(kind: str, run: Result) -> dict[float, float]:
        start = f"{kind}/{difficulty}="
        return {
            float(metric.removeprefix(start)): value
            for metric, value in run.metrics.items()
            if metric.startswith(start) and "," not in metric
        }

    floors = member.means(lambda run: of("floor", run))
    return [
        Row(
            panel=panel,
            number=member.record.number,
            name=reading.label(member.record),
            origin=member.record.origin,
            equal=equal,
            state_floats=member.state_floats,
            difficulty=difficulty,
            load=load,
            accuracy=mean.mean,
            low=mean.low,
            high=mean.high,
            seeds=mean.seeds,
            floor=floors[load].mean if load in floors else None,
        )
        for load, mean in member.means(lambda run: of("accuracy", run)).items()
    ]


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return max(3.6, 1.4 + 0.2 * len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """A line with bars for each memory, grey ones for larger states, the floor as a thin line."""
    equal = {row.number: row.origin for row in rows if row.equal}
    larger = {row.number for row in rows if not row.equal}
    ends: list[End] = []
    looks = dict(zip(equal, strokes(list(equal.values())), strict=True))
    for place, number in enumerate([*equal, *sorted(larger)]):
        line = [row for row in rows if row.number == number]
        stroke = looks.get(number, LARGER)
        # Side by side in the logarithm, so that bars do not hide each other.
        loads = [row.load * 2 ** (0.05 * (place - len(equal) / 2)) for row in line]
        means = [Mean(row.accuracy, row.low, row.high, row.seeds) for row in line]
        draw_means(axes, loads, means, stroke)
        name = line[0].name if line[0].equal else f"{line[0].name}: {line[0].state_floats:,}"
        ends.append(End(loads[-1], line[-1].accuracy, name, stroke.colour))
    loads = sorted({row.load for row in rows})
    axes.set_xscale("log", base=2)
    floors = sorted({(row.load, row.floor) for row in rows if row.floor is not None})
    if floors:
        draw_floor(axes, floors)
    axes.set_xticks(loads, [f"{load:g}" for load in loads])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.04)
    seeds = max(len(row.seeds) for row in rows)
    task, _, size = rows[0].panel.partition(": ")
    axes.set_title(f"{task}\n{size}", fontsize=9.5)
    axes.set_xlabel(ladder.MEANING[rows[0].difficulty] + ", log scale")
    axes.set_ylabel("accuracy" + (f" (95 %, {seeds} seeds)" if seeds > 1 else ""))
    name_ends(axes, ends)
    legend_of_arms(axes, equal.values())
