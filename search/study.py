"""A study: which memories are searched, on which tasks, how long and by whom."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from miras.canonical import key
from miras.known import known
from miras.load import Document, SpecFileError, nearest, read, reads, validate
from miras.model import Shell
from miras.part import Part, SpecError
from miras.tasks import AnyTask

from .bounds import NAME, Budget, Limits, Rate, Searched
from .confirmation.confirm import Confirm
from .rungs import Rules, Rung
from .sampler import AnySampler
from .sampler.portfolio import Portfolio
from .space.derive import Refusal
from .space.nodes import Number
from .space.space import Space, load_space, space_of
from .trial.matching import Match, length_of, solve

MAY_CHANGE = frozenset({"description", "budget", "workers", "limits", "confirm"})
"""What may differ when a study is taken up again; all else would make another study of it."""


class Study(Part):
    """A study file."""

    name: str = Field(
        default="",
        pattern=f"^({NAME})?$",
        description="file name if left out",
    )
    description: str = ""
    space: str | dict[str, Any] = Field(
        description="name of a space, path of its file as seen from this one, or the space itself"
    )
    shell: Shell = Shell()
    tasks: tuple[AnyTask, ...] = Field(min_length=1)
    objectives: tuple[str, ...] = Field(
        default=(), description="what is to be good; if left out all that the tasks measure"
    )
    baselines: tuple[str, ...] = Field(default=(), description="known memories, trained first")
    learning_rate: Rate | Annotated[tuple[Rate, ...], Field(min_length=1)] | Searched = Field(
        default=1e-2,
        description="a rate or a list of rates for all memories alike (the best by validation"
        " counts), or {low, high} to let the search choose",
    )
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="of every training")
    seed: int = Field(default=0, ge=0, description="of the search itself")
    evaluations: int = Field(default=4, ge=1, le=1_000, description="points of a learning curve")
    sampler: AnySampler = Portfolio()
    lag: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="0: every trial is planned with all that is known by then; B: with what came of"
        " trials up to B before it, for which it waits, so that the course of a study does not"
        " depend on the number of workers",
    )
    rungs: tuple[Rung, ...] = Field(
        default=(),
        description="looks at a candidate, cheap ones first: who is not among the best of one has"
        " no next one; a single look at all tasks if left out",
    )
    cohort: int = Field(
        default=8, ge=1, le=10_000, description="neighbouring trials that a rung judges together"
    )
    agreement: float = Field(
        default=0.3,
        ge=-1.0,
        le=1.0,
        description="rank correlation of a rung with the last one below which it stops nobody",
    )
    nulls: int = Field(
        default=1,
        ge=0,
        le=1_000,
        description="null candidates: the first baseline again with seeds of its own, to see what"
        " chance does; none without baselines",
    )
    match: Match | None = Field(
        default=None, description="give all memories equally many parameters and state floats"
    )
    first_look: bool = Field(
        default=True, description="check every candidate for some seconds before it is trained"
    )
    budget: Budget
    confirm: Confirm = Confirm()
    workers: int = Field(default=2, ge=1, le=256, description="processes, one thread each")
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise SpecError(f"tasks name {name} twice: keep one of them")
        for name in self.limits.per_task.keys() - set(names):
            raise SpecError(
                f"limits name {name}, which is none of the tasks{nearest(name, names)}: write one"
                f" of {', '.join(names)}"
            )
        measured = measured_by(self)
        for name in self.objectives:
            if name not in measured:
                raise SpecError(
                    f"objectives name {name}, which no task measures{nearest(name, measured)}:"
                    f" write some of {', '.join(measured)}, or add a task"
                )
        if len(set(self.seeds)) < len(self.seeds):
            raise SpecError("seeds hold a number twice: keep each once")
        seen = (*self.seeds, *(seed for rung in self.rungs for seed in rung.seeds))
        if refused := self.confirm.refuses(tuple(names), seen):
            raise SpecError(refused)
        if self.budget.trials < self.known:
            raise SpecError(
                f"budget of {self.budget.trials} trials is too small for {self.known} known"
                " memories (baselines and null candidates), which are trials too: raise it, or take"
                " fewer baselines"
            )
        self._rungs_lead_up(names)
        return self

    def _rungs_lead_up(self, names: list[str]) -> None:
        for rung in self.rungs:
            for name in rung.tasks:
                if name not in names:
                    raise SpecError(
                        f"a rung names {name}, which is none of the tasks{nearest(name, names)}:"
                        f" write some of {', '.join(names)}"
                    )
        judged = {task for name in self.measures for task in measured_by(self)[name]}
        for rung in self.rungs:
            if rung.tasks and not judged & {*rung.tasks}:
                raise SpecError(
                    f"a rung has {', '.join(rung.tasks)}, which says nothing of the objectives"
                    f" {', '.join(self.measures)}: add one of {', '.join(sorted(judged))} to it"
                )
        if self.rungs and self.rungs[-1].tasks and {*self.rungs[-1].tasks} < {*names}:
            raise SpecError("the last rung must have all tasks: leave its `tasks` out")
        if self.rungs and self.rungs[0].learning_rate == "best":
            raise SpecError("the first rung has no rate to choose from: write `learning_rate: all`")
        if len(self.rungs) > 1 and 0 < self.lag < self.cohort:
            raise SpecError(
                f"with rungs lag {self.lag} must be at least cohort {self.cohort}, or trials wait"
                " for each other for ever: raise lag, 0 stands for none"
            )

    @property
    def looks(self) -> tuple[Rung, ...]:
        """The rungs, one where none is named."""
        return self.rungs or (Rung(keep=1.0),)

    @property
    def rules(self) -> Rules:
        """What decisions between rungs depend on."""
        keep = tuple(rung.keep for rung in self.looks[:-1])
        return Rules(keep, self.cohort, self.budget.trials, self.agreement, self.lag)

    @property
    def known(self) -> int:
        """Trials of known memories, which come first: baselines, then null candidates."""
        return len(self.baselines) + (self.nulls if self.baselines else 0)

    def shift(self, trial: int) -> int:
        """What is added to all seeds of a trial: null candidates have seeds of their own."""
        null = trial - len(self.baselines)
        return 100_000 * (null + 1) if null >= 0 and trial < self.known else 0

    @property
    def measures(self) -> tuple[str, ...]:
        """The objectives, in order."""
        return self.objectives or tuple(measured_by(self))

    @property
    def searched_rates(self) -> Number | None:
        """The range of the learning rate, if the search chooses it."""
        rates = self.learning_rate
        return Number(rates.low, rates.high, log=True) if isinstance(rates, Searched) else None

    @property
    def rates(self) -> tuple[float, ...]:
        """Rates that a known memory is trained at, and a candidate too if none is searched."""
        rates = self.learning_rate
        if isinstance(rates, Searched):
            return rates.grid()
        return rates if isinstance(rates, tuple) else (rates,)

    def opened(self) -> Space:
        """The space of a study that was loaded."""
        if isinstance(self.space, str):
            return load_space(self.space)
        return space_of(reads(json.dumps(self.space), "the space of the study"))

    def seconds(self, task: str) -> float:
        """How long one run on a task may train."""
        return self.limits.of(task)

    def of_trials(self, trials: int) -> "Study":
        """The same with another number of trials."""
        budget = self.budget.model_copy(update={"trials": trials})
        return self.model_copy(update={"budget": budget})

    def differences(self, other: "Study") -> list[str]:
        """Settings that make the other one another study."""
        mine, others = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [name for name in mine if name not in MAY_CHANGE and mine[name] != others[name]]


def measured_by(study: Study) -> dict[str, list[str]]:
    """Objective -> names of the tasks whose mean it is."""
    found: dict[str, list[str]] = {}
    for task in study.tasks:
        found.setdefault(task.objective, []).append(task.name)
    return found


def load_study(path: Path | str) -> Study:
    """The study in a file, with its space in it. Raises SpecFileError."""
    document = read(path)
    study = validate(document, Study)
    space = _space(document, study, Path(path).parent)
    _check_known(document, study)
    name = study.name or Path(path).stem
    if not re.fullmatch(NAME, name):
        raise document.error(
            ("name",),
            f"{name!r}, the name of the file, cannot be that of a study: write `name:` with letters"
            " (a to z), digits, `.`, `_` and `-`",
        )
    data = {"name": space.name or name, **space.data}
    return study.model_copy(update={"name": name, "space": data})


def _space(document: Document, study: Study, folder: Path) -> Space:
    if isinstance(study.space, Mapping):
        return space_of(document, ("space",), study.name)
    path = folder / study.space
    try:
        return load_space(path if path.suffix else study.space)
    except SpecFileError:
        raise
    except SpecError as error:
        raise document.error(("space",), str(error)) from None


def _check_known(document: Document, study: Study) -> None:
    """Known memories must be known, each once, and of a size that all can have."""
    places = [(("baselines", index), name) for index, name in enumerate(study.baselines)]
    beside = enumerate(study.confirm.known)
    places += [(("confirm", "known", index), name) for index, name in beside]
    seen: dict[str, str] = {}
    for place, name in places:
        if name not in known():
            hint = nearest(name, known()) or "; `miras ls known` lists them"
            raise document.error(place, f"there is no known memory {name!r}{hint}")
        own = key(known()[name])
        if own in seen:
            message = f"{name} and {seen[own]} train the same model; keep one of them"
            raise document.error(place, message)
        seen[own] = name
    if study.match is not None:
        length = length_of(study.tasks)
        for place, name in places:
            fit = solve(study.match, known()[name], study.shell, length, reference=True)
            if isinstance(fit, Refusal):
                raise document.error(place, f"{name} cannot be matched: {fit.sentence}")
