"""What a search has done so far, as Optuna trials in the order of their numbers.

A bad candidate is PRUNED with a constraint that names its outcome, never FAIL: samplers ignore
failed trials, and would propose the bad branch for ever.
"""

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState, create_trial

from miras.result import Result, TrialRecord

from ..ledger.ledger import Ledger, Refused, Slot
from ..sampler.evolution import RUNG, SCORES
from ..space.asking import LEARNING_RATE
from ..study import Study, measured_by
from ..trial.evaluation import worth
from .ground import Choices, Ground, written

DUPLICATE = "duplicate"
"""The rule that refuses what was tried before; it is none of the grammar."""


Start = Callable[[int], Choices | None]
"""The choices that make the known memory of a slot, if a candidate could be it."""


class Past(NamedTuple):
    """What a sampler may know when it proposes."""

    trials: Sequence[FrozenTrial] = ()
    refused: int = 0
    """Those among the trials that were refused before they were trained."""
    seen: Set[str] = frozenset()
    """All choices that were made, duplicates included, as `written` writes them."""


class Entry(NamedTuple):
    """One slot: what was refused on the way to its plan, what it trains and what came of it."""

    slot: int
    refused: tuple[FrozenTrial, ...]
    choices: Choices  # empty for a known memory, whose `ended` may have some
    ended: FrozenTrial | None
    shown: str  # the choices of `ended`, written; of a known memory they are its own alone
    seen: tuple[str, ...]


class History:
    """The past of a study, read from its ledger; what is final is worked out once."""

    def __init__(self, study: Study, ground: Ground, ledger: Ledger, start: Start) -> None:
        self.study, self.ground, self.ledger, self.start = study, ground, ledger, start
        self.final: dict[int, Entry] = {}

    def before(self, slot: int) -> Past:
        """What the plan of a slot may depend on.

        Without a lag that is all that is known. With a lag of B it is what came of slots up to
        slot - B, and what the others before it train, which was planned in their order.
        """
        lag = self.study.lag
        rows = self.ledger.slots(planned=True)  # before the refusals, which come with a plan
        refused: dict[int, list[Refused]] = {}
        for each in self.ledger.refusals():
            if each.slot not in self.final:
                refused.setdefault(each.slot, []).append(each)
        trials: list[FrozenTrial] = []
        misfits, seen = 0, set[str]()
        for row in rows:
            if lag and row.slot >= slot:
                break
            entry = self.final.get(row.slot) or self._entry(row, refused.get(row.slot, ()))
            trials += entry.refused
            misfits += len(entry.refused)
            seen.update(entry.seen)
            if entry.ended and (not lag or row.slot <= slot - lag):
                trials.append(entry.ended)
                seen.add(entry.shown)
            elif entry.choices:
                trials.append(frozen(self.ground, entry.choices))
        return Past(trials, misfits, seen)

    def _entry(self, row: Slot, refused: Iterable[Refused]) -> Entry:
        refused = list(refused)
        seen = [written(json.loads(each.choices)) for each in refused]
        bad = [
            frozen(self.ground, json.loads(each.choices), bad="invalid")
            for each in refused
            if each.rule != DUPLICATE
        ]
        choices: Choices = json.loads(row.plan)["choices"] if row.plan else {}
        ended: FrozenTrial | None = None
        over = row.state == "done" and row.record is not None
        if over:
            record = TrialRecord.model_validate_json(row.record or "")
            choices = record.choices
            told = record if choices else self._as_if_chosen(record)
            ended = finished(self.study, self.ground, told) if told.choices else None
        seen += [written(choices)] if choices else []
        shown = written(ended.params) if ended else ""
        entry = Entry(row.slot, tuple(bad), choices, ended, shown, tuple(seen))
        if over:
            self.final[row.slot] = entry
        return entry

    def _as_if_chosen(self, record: TrialRecord) -> TrialRecord:
        """A baseline with the choices that would make it: where they are, the search begins.

        It has none where nobody could choose it, or where it was never trained.
        """
        choices = self.start(record.number) if record.results else None
        if choices is None:
            return record
        rate = {LEARNING_RATE: record.learning_rate} if self.ground.rates else {}
        return record.model_copy(update={"choices": {**choices, **rate}})


def finished(study: Study, ground: Ground, record: TrialRecord, **about: object) -> FrozenTrial:
    """A finished trial as Optuna is to see it."""
    choices: Choices = record.choices
    if record.status == "ok":
        scores = worth(study, record)
        return frozen(ground, choices, [scores[name] for name in study.measures], about=about)
    if record.status == "stopped":
        found = glimpse(study, record.results)
        shown = {int(record.rung): fmean(found.values())} if len(study.measures) == 1 else {}
        about = {RUNG: record.rung, SCORES: found, **about}
        return frozen(ground, choices, shown=shown, about=about, stopped=True)
    return frozen(ground, choices, bad=record.status, about=about)


def glimpse(study: Study, results: Sequence[Result]) -> dict[str, float]:
    """Validation scores of the objectives that were measured at all, at the best rate.

    That is the rate with most results and, of several, with the best mean.
    """
    best: tuple[int, float] = (0, 0.0)
    found: dict[str, float] = {}
    good = [each for each in results if each.status == "ok" and each.validation is not None]
    for rate in dict.fromkeys(each.learning_rate for each in good):
        here = [each for each in good if each.learning_rate == rate]
        scores = {
            name: fmean(each.validation or 0.0 for each in here if each.task in tasks)
            for name, tasks in measured_by(study).items()
            if name in study.measures and any(each.task in tasks for each in here)
        }
        if scores and (len(here), fmean(scores.values())) > best:
            best, found = (len(here), fmean(scores.values())), scores
    return found


class Kept(FrozenTrial):
    """A trial that will not change any more: a storage need not copy all that is in it."""

    @cached_property
    def _constraints(self) -> dict[str, float]:
        return super().constraints

    @property
    def constraints(self) -> dict[str, float]:
        """Optuna puts them together anew whenever it is asked, which is for every hole."""
        return self._constraints

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "Kept":
        return copy.copy(self)


def frozen(
    ground: Ground,
    choices: Choices,
    values: Sequence[float] | None = None,
    bad: str = "",
    shown: Mapping[int, float] | None = None,
    about: Mapping[str, object] | None = None,
    stopped: bool = False,
) -> FrozenTrial:
    """A trial that was completed, pruned as `bad`, stopped on its way, or else is running."""
    pruned = bad or stopped
    made = create_trial(
        state=TrialState.COMPLETE
        if values
        else TrialState.PRUNED
        if pruned
        else TrialState.RUNNING,
        values=values,
        params=dict(choices),
        # known memories were chosen by nobody
        distributions=ground.distributions(choices) if choices else {},
        user_attrs=dict(about or {}),
        intermediate_values=dict(shown or {}),
        constraints={bad: 1.0} if bad else None,
    )
    return Kept(
        number=made.number,
        state=made.state,
        value=None,
        values=made.values,
        datetime_start=made.datetime_start,
        datetime_complete=made.datetime_complete,
        params=made.params,
        distributions=made.distributions,
        user_attrs=made.user_attrs,
        system_attrs=made.system_attrs,
        intermediate_values=made.intermediate_values,
        trial_id=0,
    )
