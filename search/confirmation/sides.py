"""The memories of a confirmation in each of its settings, with the runs that count."""

from collections.abc import Callable, Container, Iterable, Sequence
from statistics import fmean
from typing import Literal

from miras.result import Result

from ..sweep.standing import Place, Standing
from .asked import Asked
from .confirmation import Confirmation
from .leads import Side

Value = Callable[[Result], float | None]


def _score(run: Result) -> float | None:
    return run.score


class Sides:
    """The memories of a confirmation, in each of its settings."""

    def __init__(self, plan: Confirmation, standing: Standing, asked: Asked | None = None) -> None:
        self.plan, self.asked = plan, asked or Asked()
        self.places: dict[tuple[str, str], list[Place]] = {}
        for index, comparison in enumerate(plan.sweep.compare):
            for number, memory in enumerate(comparison.entrants):
                place = self.places.setdefault((plan.settings[index], memory.name), [])
                place.append(Place(index, number))
        self.progress = {
            place: standing.progress(place) for places in self.places.values() for place in places
        }

    def runs(self, setting: str, name: str) -> list[Result]:
        """The runs at the chosen rates, on all tasks; none while one is missing."""
        places = self.places.get((setting, name), [])
        if not all(self.progress[place].complete for place in places):
            return []
        return [run for place in places for run in self.progress[place].final]

    def side(
        self, setting: str, name: str, value: Value = _score, tasks: Container[str] | None = None
    ) -> Side | None:
        """A memory with its scores; None while a run is missing, or if it has no such values."""
        test: dict[str, dict[int, float]] = {}
        runs = self.runs(setting, name)
        for run in (each for each in runs if tasks is None or each.task in tasks):
            number = value(run) if run.status == "ok" else 0.0
            if number is not None:
                test.setdefault(run.task, {})[run.seed] = number
        if not test:
            return None
        validation = [(run.validation or 0.0) if run.status == "ok" else 0.0 for run in runs]
        return Side(name, test, fmean(validation))

    def sides(
        self,
        setting: str,
        names: Iterable[str],
        value: Value = _score,
        tasks: Container[str] | None = None,
    ) -> list[Side]:
        """Those of the memories that are complete in a setting."""
        return [side for name in names if (side := self.side(setting, name, value, tasks))]

    def at_edge(self, place: Place) -> bool:
        """Whether the chosen rate is the lowest or the highest that was tried."""
        found = self.progress[place]
        tried = [run.learning_rate for run in found.first]
        return len(tried) > 1 and found.rate in (min(tried), max(tried))

    def whole(self, setting: str, names: Sequence[str]) -> bool:
        """Whether all of these that take part in a setting are complete."""
        there = [name for name in names if (setting, name) in self.places]
        return all(self.runs(setting, name) for name in there)


def role(plan: Confirmation, name: str) -> Literal["finalist", "baseline", "neighbour", "ablation"]:
    """What a memory is there for."""
    if name in plan.finalists:
        return "finalist"
    if name in plan.baselines:
        return "baseline"
    return "neighbour" if name in plan.neighbours.values() else "ablation"
