"""How far a sweep is: a function of its file and of the results on disk."""

import math
from collections.abc import Iterable
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from miras.composition import AnyCell
from miras.model import ModelSpec
from miras.result import Result
from miras.stack import Stack, layers_of

from .comparison import Comparison, Job, Sweep
from .rates import near, ordered, settled, wanted

GUESS = 60.0
"""Seconds that a run is expected to take while none was seen."""

_CELL: TypeAdapter[Any] = TypeAdapter(AnyCell)


class Place(NamedTuple):
    """A memory of a comparison, by their numbers in the file."""

    comparison: int
    memory: int


class Again(NamedTuple):
    """A run of a chosen rate with another seed."""

    rate: float
    seed: int


class Progress(NamedTuple):
    """How far one memory of one comparison is."""

    runs: list[Result]  # at rates that are asked for
    first: list[Result]  # on the first seed: there rates are chosen
    rates: list[float]  # still to be tried on the first seed
    kept: list[float]  # rates for all seeds, best first; none while they are not chosen
    again: list[Again]  # still to be run at these; at one of them while it is not chosen

    @property
    def rate(self) -> float:
        """The rate that counts: of several the one with the best mean, once all are through."""
        return self.kept[0] if self.again else settled(self.kept, self.runs)

    @property
    def final(self) -> list[Result]:
        """The runs at the rate that counts, by seed; none while it is not chosen."""
        if not self.kept:
            return []
        return sorted((r for r in self.runs if near([r], self.rate)), key=lambda each: each.seed)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run."""
        return not self.rates and not self.again


class Standing:
    """The results of a sweep, each at its place; those of other settings have none."""

    def __init__(self, sweep: Sweep, results: Iterable[Result] = ()) -> None:
        self.sweep = sweep
        self.runs: dict[Place, list[Result]] = {
            Place(index, number): []
            for index, comparison in enumerate(sweep.compare)
            for number in range(len(comparison.entrants))
        }
        for result in results:
            self.add(result)

    def add(self, result: Result) -> None:
        """Put a result where it belongs; comparisons that ask the same share it."""
        if result.seed not in self.sweep.seeds:
            return  # of another draw: it counts for nobody here
        for place, runs in self.runs.items():
            comparison = self.sweep.compare[place.comparison]
            if same(result, comparison.entrants[place.memory], comparison):
                runs.append(result)

    def progress(self, place: Place) -> Progress:
        """How far a memory is."""
        sweep = self.sweep
        grid = sweep.compare[place.comparison].learning_rates or sweep.learning_rates
        first = [each for each in self.runs[place] if each.seed == sweep.seeds[0]]
        asked = wanted(grid, sweep.notches, first)
        # rates of a grid that the file had before are chosen by nobody
        runs = [each for each in self.runs[place] if any(near([each], rate) for rate in asked)]
        first = [each for each in runs if each.seed == sweep.seeds[0]]
        rates = [rate for rate in asked if not near(first, rate)]
        if rates:
            count = min(sweep.rates_kept, len(grid))
            later = [Again(math.nan, seed) for seed in sweep.seeds[1:] for _ in range(count)]
            return Progress(runs, first, rates, [], later)
        kept = ordered(first)[: sweep.rates_kept]
        again = [
            Again(rate, seed)
            for rate in kept
            for seed in sweep.seeds[1:]
            if not any(each.seed == seed for each in runs if near([each], rate))
        ]
        return Progress(runs, first, rates, kept, again)

    def needed(self) -> list[Job]:
        """The runs that can be started now; none when the sweep is complete."""
        jobs: list[Job] = []
        for place in self.runs:
            found = self.progress(place)
            jobs += [Job(*place, rate, self.sweep.seeds[0]) for rate in found.rates]
            if not found.rates:
                jobs += [Job(*place, each.rate, each.seed) for each in found.again]
        return jobs

    def left(self) -> tuple[int, float]:
        """Runs still to do, and the seconds of one core that they will take.

        Grids that may grow are counted as they stand. A run is expected to take as long as others
        of its memory there, else of its comparison, else of the sweep.
        """
        count, seconds = 0, 0.0
        everywhere = [each.seconds for runs in self.runs.values() for each in runs]
        for place, runs in self.runs.items():
            found = self.progress(place)
            beside = [
                each.seconds
                for other, members in self.runs.items()
                for each in members
                if other.comparison == place.comparison
            ]
            each = fmean([run.seconds for run in runs] or beside or everywhere or [GUESS])
            count += len(found.rates) + len(found.again)
            seconds += each * (len(found.rates) + len(found.again))
        return count, seconds

    def final(self, comparison: int) -> dict[str, list[Result]]:
        """The runs of each memory of a comparison at its chosen rate, as far as there are any."""
        memories = self.sweep.compare[comparison].entrants
        return {
            memory.name: self.progress(Place(comparison, number)).final
            for number, memory in enumerate(memories)
        }


def same(result: Result, memory: AnyCell | Stack, comparison: Comparison) -> bool:
    """Whether a run is of this memory, task and shell; fields of later versions are defaults."""
    task = comparison.task
    if (result.name, result.task) != (memory.name, task.name):
        return False
    shell: Any = result.settings.get("shell")
    try:
        return (
            ModelSpec.model_validate({**shell, "pattern": layers_of(memory)})
            == comparison.spec(memory)
            and type(task).model_validate(result.settings.get("task")) == task
            and _read(result) == memory
        )
    except (ValueError, TypeError):  # made by a version with other fields
        return False


def _read(result: Result) -> AnyCell | Stack:
    if "pattern" in result.memory:
        return Stack.model_validate(result.memory)
    return _CELL.validate_python(result.memory)
