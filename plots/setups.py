"""Results that may be compared: of one task, and in one shell."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple, cast

from matplotlib.axes import Axes

from miras.result import Result, TrialRecord
from miras.statistics import mean_interval

from . import reading
from .style import Stroke

TELLING = ("dim", "layers", "conv")
"""Settings by which a person knows a shell."""

Point = Callable[[Result], dict[float, float]]
"""What one run scored, by a number that is the x axis of a figure."""


class Mean(NamedTuple):
    """Mean over seeds with Student's interval of 95 %, within 0 and 1; the mean with one seed."""

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]


class Member(NamedTuple):
    """One memory in a setup, and its runs at the learning rate that was chosen for it."""

    record: TrialRecord
    runs: list[Result]

    @property
    def state_floats(self) -> int:
        """Numbers of state per layer."""
        return max(run.state_floats for run in self.runs)

    def means(self, points: Point) -> dict[float, Mean]:
        """Means over seeds of the points that all runs have, in order."""
        found = [points(run) for run in self.runs]
        shared = set(found[0]).intersection(*found[1:])
        return {x: mean([each[x] for each in found]) for x in sorted(shared)}


class Setup(NamedTuple):
    """Memories on one task in one shell. `title` names the task, and what else tells it apart."""

    title: str
    task: str
    members: list[Member]


def mean(seeds: Sequence[float]) -> Mean:
    """Of scores over seeds."""
    if len(seeds) < 2:
        return Mean(fmean(seeds), fmean(seeds), fmean(seeds), tuple(seeds))
    _, low, high, _ = mean_interval(seeds)
    return Mean(fmean(seeds), max(0.0, low), min(1.0, high), tuple(seeds))


def draw_means(axes: Axes, at: Sequence[float], means: Sequence[Mean], stroke: Stroke) -> None:
    """A line through means with bars for their intervals, and a pale dot for each seed."""
    bars = [[each.mean - each.low for each in means], [each.high - each.mean for each in means]]
    axes.errorbar(
        at, [each.mean for each in means], yerr=bars, color=stroke.colour, ls=stroke.dashes,
        lw=stroke.width, marker=".", elinewidth=0.9, capsize=2,
    )  # fmt: skip
    dots = [(x, seed) for x, each in zip(at, means, strict=True) for seed in each.seeds]
    axes.scatter(*zip(*dots, strict=True), s=8, color=stroke.colour, alpha=0.35, lw=0)


def setups(records: reading.Records) -> list[Setup]:
    """Every task in every shell, with the known memories and the three best candidates."""
    found: list[Setup] = []
    for task in reading.tasks(records):
        groups: dict[str, tuple[dict[str, Any], list[Member]]] = {}
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            for settings, runs in _apart(record, task):
                group = groups.setdefault(repr(settings), (settings, []))
                group[1].append(Member(record, runs))
        every = [settings for settings, _ in groups.values()]
        for settings, members in groups.values():
            found.append(Setup(", ".join([task, *_told(settings, every)]), task, members))
    return found


def _told(settings: dict[str, Any], every: list[dict[str, Any]]) -> list[str]:
    """As few of its settings as tell a setup from the others, best known ones first."""
    names = [*dict.fromkeys((*TELLING, *settings))]
    others = [other for other in every if other != settings]
    told: list[str] = []
    for name in names:
        same = [other for other in others if other.get(name) == settings.get(name)]
        if len(same) < len(others):
            told.append(f"{name} {settings.get(name)}")
            others = same
    return told


def _apart(record: TrialRecord, task: str) -> list[tuple[dict[str, Any], list[Result]]]:
    """The runs of a memory on a task by their shell and by what the task was."""
    groups: dict[str, tuple[dict[str, Any], list[Result]]] = {}
    for result in record.results:
        if result.task == task:
            settings = dict(cast("dict[str, Any]", result.settings.get("shell") or {}))
            settings |= cast("dict[str, Any]", result.settings.get("task") or {})
            groups.setdefault(repr(settings), (settings, []))[1].append(result)
    found: list[tuple[dict[str, Any], list[Result]]] = []
    for settings, results in groups.values():
        # A rate that was tried on one seed alone lost to the one that was run on all.
        rates = [result.learning_rate for result in results if result.status == "ok"]
        most = max(map(rates.count, rates), default=0)
        final = tuple(r for r in results if rates.count(r.learning_rate) == most)
        own = record.model_copy(update={"results": final, "learning_rate": 0.0})
        # Where a record has one shell and says which rate was chosen, that is the rate.
        said = len(groups) == 1 and record.learning_rate
        if runs := reading.results(record if said else own, task):
            found.append((settings, runs))
    return found
