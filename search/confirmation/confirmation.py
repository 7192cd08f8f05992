"""What is trained to confirm a study: who against whom, on which tasks and in which shells.

All of it follows from the study and its records. Finalists, known memories and the known memory
nearest to each finalist meet on the tasks of the study, on held-out tasks, in larger shells and
without the short convolution; finalists with one choice changed meet them on the tasks of the study
alone, where they have to say which change is the gain.
"""

import hashlib
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from miras.canonical import key, nearest
from miras.composition import AnyCell
from miras.known import known
from miras.model import Shell
from miras.part import Part, SpecError
from miras.result import TrialRecord
from miras.stack import Stack
from miras.statistics.dominance import order
from miras.tasks import AnyTask

from ..space.derive import Candidate, Refusal, build
from ..study import Study
from ..sweep.comparison import Comparison, Sweep
from ..trial.evaluation import worth
from ..trial.matching import length_of, solve
from .ablation import ablations

OWN, HELD_OUT, BARE = "tasks of the study", "held out", "without convolution"


class Ablated(Part):
    """A finalist with a choice of its nearest known memory."""

    finalist: str
    slot: str
    name: str


class Confirmation(Part):
    """A sweep, and who is who in it. `settings` says what each of its comparisons belongs to."""

    sweep: Sweep
    settings: tuple[str, ...]
    finalists: dict[str, int]  # name -> trial of the study
    baselines: tuple[str, ...]
    neighbours: dict[str, str]
    ablations: tuple[Ablated, ...] = ()
    left_out: tuple[str, ...] = ()  # sentences
    made_from: str = ""  # `fingerprint` of study and finalists

    def tasks(self, setting: str) -> tuple[int, ...]:
        """The comparisons of a setting."""
        return tuple(place for place, each in enumerate(self.settings) if each == setting)


class _Entry(NamedTuple):
    memory: Candidate
    everywhere: bool  # not on the tasks of the study alone
    shell: Shell | None = None  # as the study matched it


def finalists(study: Study, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The new memories that are worth confirming: the best mean on validation, then by fronts.

    A finalist was proposed by the search or by chance, equals no known memory and went through all
    rungs. After the one with the best mean come those of the first front, the loneliest first.
    """
    new = [
        each
        for each in records
        if each.status == "ok" and each.origin in ("search", "random") and not each.equals
    ]
    scores = [worth(study, each) for each in new]
    points = [[each[name] for name in study.measures] for each in scores]
    if not points:
        return []
    best = max(range(len(new)), key=lambda place: fmean(points[place]))
    places = [best, *(place for place in order(points) if place != best)]
    unique = {new[place].key: new[place] for place in reversed(places)}
    chosen = sorted(unique.values(), key=lambda each: places.index(new.index(each)))
    return chosen[: study.confirm.finalists]


def confirmation(study: Study, records: Sequence[TrialRecord]) -> Confirmation | None:
    """What confirms a study; None if it has found nothing that is new."""
    chosen = finalists(study, records)
    if not chosen:
        return None
    plan = _Plan(study, records)
    names = {plan.enter(each, f"#{each.number} {each.name}"): each.number for each in chosen}
    beside = (*study.baselines, *study.confirm.known)
    baselines = [plan.enter(plan.record_of(name), name) for name in beside]
    neighbours: dict[str, str] = {}
    ablated: list[Ablated] = []
    for name in names:
        memory = plan.entries[name].memory
        near = nearest(memory).name
        neighbours[name] = plan.add(known()[near], near)
        for slot, changed in ablations(memory, known()[near]) if study.confirm.ablate else ():
            place = plan.add(changed, f"{name}, {slot} of {near}", everywhere=False)
            ablated.append(Ablated(finalist=name, slot=slot, name=place))
    compare = list(plan.compare())
    return Confirmation(
        sweep=Sweep(
            name=f"{study.name}-confirm",
            compare=tuple(each for _, each in compare),
            learning_rates=study.confirm.learning_rates,
            notches=study.confirm.notches,
            seeds=study.confirm.seeds,
            rates_kept=study.confirm.rates_kept,
            workers=study.workers,
            evaluations=study.evaluations,
        ),
        settings=tuple(setting for setting, _ in compare),
        finalists=names,
        baselines=tuple(baselines),
        neighbours=neighbours,
        ablations=tuple(ablated),
        left_out=tuple(dict.fromkeys(plan.left_out)),
    )


def sweep_of(study: Study, records: Sequence[TrialRecord]) -> Sweep | None:
    """The sweep that confirms a study, of which `confirmation` says who is who."""
    found = confirmation(study, records)
    return found and found.sweep


def fingerprint(study: Study, records: Sequence[TrialRecord]) -> str:
    """What a confirmation was made from: it changes with the study, its finalists and its plan."""
    text = study.model_dump_json(exclude={"description", "budget", "workers", "limits"})
    chosen = [f"{each.number} {each.key}" for each in finalists(study, records)]
    return hashlib.sha256("\n".join([text, *chosen]).encode()).hexdigest()[:16]


class _Plan:
    """Gathers who takes part, each normal form once, and puts them into their shells."""

    def __init__(self, study: Study, records: Sequence[TrialRecord]) -> None:
        self.study = study
        self.records = {each.name: each for each in records if each.origin == "baseline"}
        self.entries: dict[str, _Entry] = {}
        self.names: dict[str, str] = {}
        self.left_out: list[str] = []

    def record_of(self, name: str) -> TrialRecord | AnyCell:
        """A known memory as the study trained it, or as it stands."""
        found = self.records.get(name)
        return found if found and found.memory and found.shell else known()[name]

    def enter(self, found: TrialRecord | AnyCell, name: str) -> str:
        """Enter a memory of the study with the shell that was matched for it."""
        if not isinstance(found, TrialRecord):
            return self.add(found, name)
        memory = build(found.memory)
        if isinstance(memory, Refusal):
            raise SpecError(
                f"trial {found.number} is no memory any more ({memory.sentence}): confirm with the"
                " version of miras that ran the search, or take fewer finalists"
            )
        shell = Shell.model_validate(found.shell) if found.shell else None
        return self.add(memory, name, shell=shell)

    def add(
        self, memory: Candidate, name: str, shell: Shell | None = None, everywhere: bool = True
    ) -> str:
        """Enter a memory, and say under which name: one that is there already keeps its own."""
        same = key(memory)
        name = self.names.setdefault(same, name)
        old = self.entries.get(name)
        entry = old or _Entry(memory.model_copy(update={"name": name}), everywhere, shell)
        self.entries[name] = entry._replace(everywhere=entry.everywhere or everywhere)
        return name

    def compare(self) -> Iterator[tuple[str, Comparison]]:
        """All comparisons, with what they belong to."""
        study, confirm = self.study, self.study.confirm
        for task in study.tasks:
            yield OWN, self._comparison(OWN, task, study.shell)
        for task in confirm.held_out:
            yield HELD_OUT, self._comparison(HELD_OUT, task, study.shell)
        for place, shell in enumerate(confirm.shells, 1):
            setting = f"size {place} with dim {shell.dim} and {shell.layers} layers"
            for task in study.tasks:
                yield setting, self._comparison(setting, task, shell)
        if confirm.conv and study.shell.conv:
            for task in study.tasks:
                bare = study.shell.model_copy(update={"conv": 0})
                yield BARE, self._comparison(BARE, task, bare)

    def _comparison(self, setting: str, task: AnyTask, shell: Shell) -> Comparison:
        cells: list[Any] = []
        stacks: list[Stack] = []
        shells: dict[str, Shell] = {}
        for name, entry in self.entries.items():
            if not entry.everywhere and setting != OWN:
                continue
            fit = self._fit(entry, shell)
            if isinstance(fit, Refusal):
                where = "" if setting in (OWN, HELD_OUT) else f", {setting}"
                self.left_out.append(f"{name}{where}: {fit.sentence}")
                continue
            memory, around = fit
            if isinstance(memory, Stack):
                stacks.append(memory)
            else:
                cells.append(memory)
            if around != shell:
                shells[name] = around
        title = task.name if setting == OWN else f"{task.name} {setting}"
        return Comparison(
            name=title,
            task=task,
            memories=tuple(cells),
            stacks=tuple(stacks),
            shell=shell,
            shells=shells,
        )

    def _fit(self, entry: _Entry, shell: Shell) -> tuple[Candidate, Shell] | Refusal:
        """A memory and its shell with the numbers that the study wants, in another size too."""
        match = self.study.match
        if match is None:
            return entry.memory, shell
        if shell == self.study.shell:
            if entry.shell is not None:
                return entry.memory, entry.shell
        else:  # a wanted number is one of the study's own shell: elsewhere a memory is the measure
            like = match.like or next(iter(self.study.baselines), None)
            if like is None:
                return entry.memory, shell
            wanted = {"like": like, "parameters": None, "state_floats": None}
            match = match.model_copy(update=wanted)
        fit = solve(match, entry.memory, shell, length_of(self.study.tasks), reference=True)
        if isinstance(fit, Refusal):
            return fit
        return fit.candidate.model_copy(update={"name": entry.memory.name}), fit.shell
