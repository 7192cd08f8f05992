"""What a person sees of a search: a line for every trial that ends, and how long it will take."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from miras.result import TrialRecord

from ..ledger.ledger import Ledger
from ..proposing.planner import Plan
from ..rungs import KNOWN
from ..study import Study

ORIGINS = {"baseline": "known memory", "null": "known again", "random": "random arm"}
"""Who proposed a trial, where that was not the search."""


class Standing(NamedTuple):
    """How far a study is."""

    name: str
    states: Mapping[str, int]
    outcomes: Mapping[str, int]
    running: tuple[str, ...]
    refused: int
    duplicates: int
    left: float | None  # seconds, as the trials so far suggest
    rungs: tuple[str, ...] = ()
    best: str = ""  # the best trial by validation, in one line

    def __str__(self) -> str:
        total = sum(self.states.values())
        ended = ", ".join(f"{count} {status}" for status, count in self.outcomes.items())
        lines = [f"{self.name}: {self.states['done']} of {total} trials done ({ended or 'none'})"]
        lines += [f"running: {name}" for name in self.running]
        if self.refused or self.duplicates:
            lines.append(
                f"{self.refused} proposals did not fit the grammar, {self.duplicates} were equal to"
                " an earlier trial; all were replaced"
            )
        lines += self.rungs
        if self.states["done"] < total and self.left is not None:
            lines.append(f"about {duration(self.left)} of work left")
        lines += [f"best by validation, with its test scores:\n{self.best}"] if self.best else []
        return "\n".join(lines)


def standing(study: Study, ledger: Ledger, records: Sequence[TrialRecord]) -> Standing:
    """How far a study is, from its ledger and the records of trials that are done."""
    states = ledger.states(study.budget.trials)
    total = sum(states.values())
    refused = ledger.count_refusals()
    duplicates = refused.pop("duplicate", 0)
    return Standing(
        name=study.name,
        states=states,
        outcomes=Counter(record.status for record in records),
        running=tuple(_running(slot, plan, study, ledger) for slot, plan in ledger.running()),
        refused=sum(refused.values()),
        duplicates=duplicates,
        left=time_left(study, records, total - states["done"]),
    )


def _running(slot: int, plan: str | None, study: Study, ledger: Ledger) -> str:
    if plan is None:
        return f"trial {slot}, being planned"
    read = Plan.read(plan)
    runs = len(read.rates) * len(study.tasks) * len(study.seeds)
    done = len(ledger.runs(slot))
    return f"trial {slot}, {read.memory.name}, run {min(done + 1, runs)} of {runs}"


def time_left(study: Study, records: Sequence[TrialRecord], missing: int) -> float | None:
    """Seconds until all trials are done: at the mean of the trials so far, shared by workers."""
    if not records:
        return None
    known = [each.seconds for each in records if each.origin in KNOWN]
    drawn = [each.seconds for each in records if each.origin not in KNOWN] or known
    first = max(0, min(missing, study.known - len(known)))
    rest = (missing - first) * fmean(drawn)
    return (first * fmean(known or drawn) + rest) / study.workers


def line(record: TrialRecord) -> str:
    """A finished trial in one line."""
    about = ORIGINS.get(record.origin, "search")
    same = [name for name in record.equals if name != record.name]
    equal = f" = {', '.join(same)}" if same else ""
    scores = "  ".join(f"{name} {score:.3f}" for name, score in record.objectives.items())
    text = scores if record.status == "ok" else f"{record.status}: {record.reason.splitlines()[0]}"
    return f"{record.number:>4}  {about:<12}  {record.name}{equal}  {text}  {record.seconds:.0f} s"


def duration(seconds: float) -> str:
    """95 as 1 min 35 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Display:
    """Shows a search: a bar that moves where a person watches, plain lines elsewhere."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.console = Console(highlight=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        if sys.stdout.isatty():
            self.bar = Progress(
                TextColumn("{task.completed:.0f}/{task.total:.0f} trials"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self.console,
            )
            self.task = self.bar.add_task("starting", total=study.budget.trials)
            self.bar.start()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        with suppress(OSError):  # a full disk under our output is no reason to stop
            self.console.print(escape(text))

    def ended(self, record: TrialRecord, now: Standing) -> None:
        """A trial has ended."""
        left = f"  {duration(now.left)} left" if now.left and self.bar is None else ""
        self.say(line(record) + left)

    def moved(self, now: Standing) -> None:
        """Something may have moved."""
        if self.bar is not None and self.task is not None:
            left = f"about {duration(now.left)} left  " if now.left is not None else ""
            text = left + "; ".join(now.running)
            self.bar.update(self.task, completed=now.states["done"], description=escape(text))

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()
