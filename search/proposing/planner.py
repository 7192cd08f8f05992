"""What the next trial trains: proposals that are memories, and memories that are new.

The sampler sees the history as Optuna trials in memory, built from the ledger: so it does not
matter which worker plans, and nothing half-told can be left behind by one that dies. A proposal
that the grammar refuses is told to the sampler as pruned and infeasible, one that equals an earlier
memory is not told at all. Both are replaced at once and kept in the ledger with the reason.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from optuna.trial import FrozenTrial

from miras.canonical import equals, key, stacked
from miras.composition import kind as kind_of
from miras.known import known
from miras.memory import Memory
from miras.model import Shell
from miras.part import SpecError
from miras.result import TrialRecord
from miras.stack import Stack

from ..ledger.ledger import Claim, Ledger, Refused
from ..rungs import KNOWN
from ..space.choosers import Chooser, FromChoices
from ..space.derive import Candidate, Refusal, Value, build, chosen, derive
from ..space.inverse import placed
from ..space.space import Space
from ..study import Study
from ..trial.matching import length_of, solve
from . import history
from .ground import Choices, Ground
from .history import DUPLICATE, History
from .proposing import Proposal, Rejection, propose


class Plan(NamedTuple):
    """What a trial trains."""

    origin: Literal["baseline", "null", "search", "random"]
    memory: Candidate
    choices: dict[str, Value]
    rates: tuple[float, ...]
    shell: Mapping[str, Any] = {}  # as it was matched; empty: that of the study
    twins: tuple[str, ...] = ()  # known memories that it equalled before it was matched
    proposed_by: str = ""  # the sampler; nobody proposes a known memory

    def known(self) -> tuple[str, ...]:
        """Names of the known memories of the same normal form; sizes that were matched aside."""
        return tuple(dict.fromkeys((*self.twins, *equals(self.memory))))

    def write(self) -> str:
        """As text for the ledger."""
        memory = self.memory.model_dump(mode="json")
        fields = self._asdict() | {"memory": memory, "shell": dict(self.shell)}
        return json.dumps(fields)

    @classmethod
    def read(cls, text: str) -> "Plan":
        """From the text of the ledger."""
        fields: dict[str, Any] = json.loads(text)
        memory = build(fields["memory"])
        if isinstance(memory, Refusal):
            raise SpecError(
                f"a plan holds what this version of miras refuses ({memory.sentence}): go on with"
                " the version with which the study was begun"
            )
        rates, shell = tuple(fields["rates"]), fields.get("shell", {})
        twins = tuple(fields.get("twins", ()))
        by = fields.get("proposed_by", "")
        return cls(fields["origin"], memory, fields["choices"], rates, shell, twins, by)

    def matched(self, study: Study, length: int) -> "Plan | Refusal":
        """The same with the sizes that the study wants of all, if it does, or why it has none."""
        if study.match is None:
            return self
        fit = solve(study.match, self.memory, study.shell, length, self.origin in KNOWN)
        if isinstance(fit, Refusal):
            return fit
        shell, twins = fit.shell.model_dump(mode="json"), equals(self.memory)
        return self._replace(memory=fit.candidate, shell=shell, twins=twins)

    def within(self, study: Study) -> Study:
        """The study with the shell in which this is trained."""
        shell = Shell.model_validate(self.shell) if self.shell else study.shell
        return study.model_copy(update={"shell": shell})


class Planner:
    """Plans the trials of one study."""

    def __init__(self, study: Study, space: Space, ledger: Ledger) -> None:
        self.study, self.space, self.ledger = study, space, ledger
        self.ground = ground_of(study, space)
        self.length = length_of(study.tasks) if study.match else 0
        self.history = History(study, self.ground, ledger, self._start)

    def plan(self, claim: Claim) -> Plan | None:
        """What this trial trains; None if no memory could be found that was not tried before."""
        if claim.plan is not None:
            return Plan.read(claim.plan)
        if claim.slot < self.study.known:
            null = claim.slot >= len(self.study.baselines)
            memory = known()[self.study.baselines[0 if null else claim.slot]]
            asked = Plan("null" if null else "baseline", memory, {}, self.study.rates)
            plan = asked.matched(self.study, self.length)
            if isinstance(plan, Refusal):  # `load_study` refuses these
                raise SpecError(f"baseline {memory.name}: {plan.sentence}")
            own = key(plan.memory) + null * f" again, trial {claim.slot}"
            if self.ledger.plan(claim.slot, claim.token, own, plan.write()) is not None:
                # by its matched sizes a candidate was quicker: a known memory is trained even so
                own += f" known, trial {claim.slot}"
                self.ledger.plan(claim.slot, claim.token, own, plan.write())
            return plan
        found: list[Plan] = []

        def take(proposal: Proposal) -> Rejection | None:
            made = self._made(proposal)
            if isinstance(made, Rejection):
                return made
            lost = [
                Refused(claim.slot, each.attempt, *each.why, json.dumps(each.choices))
                for each in proposal.lost
            ]
            owner = self.ledger.plan(claim.slot, claim.token, key(made.memory), made.write(), lost)
            if owner is not None:
                return Rejection(DUPLICATE, f"the same as trial {owner}")
            found.append(made)
            return None

        candidate = claim.slot - self.study.known
        arm = self.study.sampler.arm(candidate, self.ground)
        past = self.history.before(claim.slot)
        directions = ["maximize" for _ in self.study.measures]
        propose(self.ground, arm, past, directions, (self.study.seed, claim.slot), take)
        return found[0] if found else None

    def _start(self, slot: int) -> Choices | None:
        """The choices that make a baseline; None if no candidate could be it.

        A baseline may have a state of its own, and a space need not have it. Nulls only say again
        what the first baseline scored.
        """
        if slot >= len(self.study.baselines):
            return None
        memory = known()[self.study.baselines[slot]]
        found = placed(self.space.root, memory)
        if found is None:
            return None
        as_candidate = Plan("search", memory, found, self.study.rates)
        fits = as_candidate.matched(self.study, self.length)
        return None if isinstance(fits, Refusal) else found

    def _made(self, proposal: Proposal) -> Plan | Rejection:
        """The plan that choices make, or why the grammar refuses it."""
        replay = FromChoices(proposal.choices)
        derived = derive(self.space, replay, self.study.searched_rates, narrow=False)
        memory = build(derived.spec)
        if isinstance(memory, Refusal):
            return Rejection(*memory)
        rate = derived.learning_rate
        rates = self.study.rates if rate is None else (rate,)
        memory = stacked(memory, self.study.shell.layers)
        memory = memory.model_copy(update={"name": describe(memory)})
        by = proposal.proposed_by
        made = Plan(proposal.origin, memory, dict(proposal.choices), rates, proposed_by=by)
        matched = made.matched(self.study, self.length)
        return Rejection(*matched) if isinstance(matched, Refusal) else matched


def ground_of(study: Study, space: Space) -> Ground:
    """What the sampler of a study searches."""
    rates = study.searched_rates

    def choices(chooser: Chooser, narrow: bool) -> Choices:
        return chosen(space, chooser, rates, narrow)

    candidates = study.budget.trials - study.known
    return Ground(space.root, choices, candidates, rates)


def remarks(study: Study, space: Space) -> tuple[str, ...]:
    """What a person should know of the sampler of a study before it begins."""
    return study.sampler.remarks(ground_of(study, space))


def finished(study: Study, space: Space, record: TrialRecord, **about: object) -> FrozenTrial:
    """A finished trial as Optuna is to see it."""
    return history.finished(study, ground_of(study, space), record, **about)


def describe(memory: Candidate) -> str:
    """A name for what has none: the four choices of a memory, the kind and cells of others."""
    if isinstance(memory, Memory):
        parts = (memory.architecture, memory.bias, memory.retention, memory.optimizer)
        return "-".join(str(type(part).model_fields["kind"].default) for part in parts)
    cells = memory.pattern if isinstance(memory, Stack) else memory.cells
    title = "stack" if isinstance(memory, Stack) else kind_of(memory)
    return f"{title}({', '.join(describe(cell) for cell in cells)})"
