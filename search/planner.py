"""What the next trial trains: proposals that are memories, and memories that are new.

The sampler sees the history as Optuna trials in memory, rebuilt from the ledger for every plan: so
it does not matter which worker plans, and nothing half-told can be left behind by one that dies. A
proposal that the grammar refuses is told to the sampler as pruned and infeasible, one that equals
an earlier memory is not told at all. Both are replaced at once and kept in the ledger with the
reason.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from miras.canonical import key
from miras.known import cells as known
from miras.memory import Memory
from miras.result import TrialRecord

from .derive import FromChoices, FromTrial, Refusal, Value, build, derive
from .evaluation import judge
from .ledger import Claim, Ledger, Refused
from .nodes import Number
from .sampler import Arm
from .sampler.random import Random
from .space import Space
from .study import Study

TRIES = 20
"""Proposals of its own arm that a trial may discard, before chance proposes instead."""

CHANCES = 100
"""Proposals of chance that it may discard after that."""


class Plan(NamedTuple):
    """What a trial trains."""

    origin: Literal["baseline", "search", "random"]
    memory: Memory
    choices: dict[str, Value]
    rates: tuple[float, ...]

    def write(self) -> str:
        """As text for the ledger."""
        fields = self._asdict() | {"memory": self.memory.model_dump(mode="json")}
        return json.dumps(fields)

    @classmethod
    def read(cls, text: str) -> "Plan":
        """From the text of the ledger."""
        fields: dict[str, Any] = json.loads(text)
        memory = Memory.model_validate(fields["memory"])
        return cls(fields["origin"], memory, fields["choices"], tuple(fields["rates"]))


class Planner:
    """Plans the trials of one study."""

    def __init__(self, study: Study, space: Space, ledger: Ledger) -> None:
        self.study, self.space, self.ledger = study, space, ledger
        self.frozen: dict[int, FrozenTrial] = {}

    def plan(self, claim: Claim) -> Plan | None:
        """What this trial trains; None if no memory could be found that was not tried before."""
        if claim.plan is not None:
            return Plan.read(claim.plan)
        if claim.origin == "baseline":
            memory = known()[self.study.baselines[claim.slot]]
            plan = Plan("baseline", memory, {}, self.study.rates)
            self.ledger.plan(claim.slot, claim.token, key(memory), plan.write())
            return plan
        candidate = claim.slot - len(self.study.baselines)
        arm = self.study.sampler.arm(candidate)
        study, misfits = self.history(arm)
        refused: list[Refused] = []
        for attempt in range(TRIES + CHANCES):
            maker = arm if attempt < TRIES else Random().arm(candidate)
            seed = seed_of(self.study.seed, claim.slot, attempt)
            study.sampler = maker.make(seed, misfits)
            trial = study.ask()
            found = derive(self.space, FromTrial(trial, seed), self.study.searched_rates)
            memory = build(found.spec)
            if isinstance(memory, Refusal):
                refusal = memory
                study.tell(trial, state=TrialState.FAIL)  # Optuna looks away: what was taken counts
                study.add_trial(_frozen(self.study, self.space, found.choices, "invalid"))
                misfits += 1
            else:
                rates = self.study.rates if found.learning_rate is None else (found.learning_rate,)
                memory = memory.model_copy(update={"name": describe(memory)})
                plan = Plan(maker.origin, memory, found.choices, rates)
                taken = self.ledger.plan(
                    claim.slot, claim.token, key(memory), plan.write(), refused
                )
                if taken is None:
                    return plan
                refusal = Refusal("duplicate", f"the same as trial {taken}")
            refused.append(Refused(claim.slot, attempt, *refusal, json.dumps(found.choices)))
        return None

    def history(self, arm: Arm) -> tuple[optuna.Study, int]:
        """What happened, as Optuna trials in our order, and how many of them were refused."""
        study = optuna.create_study(directions=["maximize" for _ in self.study.measures])
        if not arm.looks_back:
            return study, 0
        refused: dict[int, list[FrozenTrial]] = {}
        for each in self.ledger.refusals():
            if each.rule != "duplicate":
                frozen = _frozen(self.study, self.space, json.loads(each.choices), "invalid")
                refused.setdefault(each.slot, []).append(frozen)
        for each in self.ledger.slots():
            study.add_trials(refused.get(each.slot, []))
            if each.slot in self.frozen:
                study.add_trial(self.frozen[each.slot])
            elif each.record is not None:
                record = TrialRecord.model_validate_json(each.record)
                if record.choices:
                    self.frozen[each.slot] = finished(self.study, self.space, record)
                    study.add_trial(self.frozen[each.slot])
            elif each.plan is not None and (choices := json.loads(each.plan)["choices"]):
                study.add_trial(_frozen(self.study, self.space, choices, None))
        return study, sum(map(len, refused.values()))


def finished(study: Study, space: Space, record: TrialRecord, **about: object) -> FrozenTrial:
    """A finished trial as Optuna is to see it.

    A bad candidate is PRUNED with a constraint that names its outcome, never FAIL: samplers ignore
    failed trials, and would propose the bad branch for ever.
    """
    if record.status != "ok":
        return _frozen(study, space, record.choices, record.status, about=about)
    scores = judge(study, record.results, None).validation
    values = [scores[name] for name in study.measures]
    return _frozen(study, space, record.choices, None, values, about)


def _frozen(
    study: Study,
    space: Space,
    choices: Mapping[str, Value],
    bad: str | None,
    values: list[float] | None = None,
    about: Mapping[str, object] | None = None,
) -> FrozenTrial:
    """An Optuna trial that is finished, pruned as `bad`, or, with neither, still running."""
    state = TrialState.PRUNED if bad else TrialState.COMPLETE if values else TrialState.RUNNING
    return create_trial(
        state=state,
        values=values,
        params=dict(choices),
        distributions=distributions(study, space, choices),
        user_attrs=dict(about or {}),
        constraints={bad: 1.0} if bad else None,
    )


class _Distributions(FromChoices):
    """Replays choices and notes from what each was chosen."""

    def __init__(self, choices: Mapping[str, Value]) -> None:
        super().__init__(choices)
        self.found: dict[str, BaseDistribution] = {}

    def pick(self, name: str, options: tuple[str, ...], fitting: tuple[str, ...]) -> str:
        self.found[name] = CategoricalDistribution(options)
        return super().pick(name, options, fitting)

    def number(self, name: str, among: Number) -> int | float:
        if among.whole:
            self.found[name] = IntDistribution(int(among.low), int(among.high))
        else:
            self.found[name] = FloatDistribution(among.low, among.high, log=among.log)
        return super().number(name, among)


def distributions(
    study: Study, space: Space, choices: Mapping[str, Value]
) -> dict[str, BaseDistribution]:
    """What each of the choices was made from; empty for known memories, which nobody chose."""
    if not choices:
        return {}
    replay = _Distributions(choices)
    derive(space, replay, study.searched_rates, narrow=False)
    return replay.found


def seed_of(study: int, slot: int, attempt: int) -> int:
    """A seed of its own for every proposal, whatever was drawn before."""
    return int(np.random.SeedSequence((study, slot, attempt)).generate_state(1)[0])


def describe(memory: Memory) -> str:
    """A name for a memory that has none: its four choices."""
    parts = (memory.architecture, memory.bias, memory.retention, memory.optimizer)
    return "-".join(str(type(part).model_fields["kind"].default) for part in parts)
