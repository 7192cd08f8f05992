"""A worker: claims a trial, plans it, has it trained in a child process, and finishes it."""

import shutil
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import optuna

from miras.canonical import key
from miras.result import Result, Sitting, TrialRecord

from ..ledger.ledger import Claim, LeaseLost, Ledger
from ..ledger.place import Site, anonymous, owner
from ..promotion import Promotion
from ..proposing.planner import Plan, Planner
from ..rungs import KNOWN
from ..study import Study
from ..trial.apart import Apart
from ..trial.evaluation import Job, judge, plain, runs_of
from ..trial.isolation import (
    MOST_CRASHES,
    ROOM,
    STILL,
    Crashed,
    Ending,
    NoRoom,
    isolated,
    pause,
    settle,
)

STOP = "stop"
"""The fact that says when no more trials are to be begun, in seconds since 1970."""


def trials_of(study: Study, ledger: Ledger) -> int:
    """Trials of a study by now: who enters it with another budget changes it for all."""
    return int(ledger.fact("trials") or study.budget.trials)


def work(site: Site) -> None:
    """Work at a study until nothing is left to do: what a worker process runs."""
    settle(site.place.log)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with Ledger(site.ledger, site.study, site.lease, pause) as ledger:
        study = Study.model_validate_json(ledger.fact("study") or "{}")
        worker = Worker(study, ledger, site)
        while worker.step():
            pass


class Worker:
    """One process's share of a study."""

    def __init__(self, study: Study, ledger: Ledger, site: Site) -> None:
        self.study, self.ledger, self.site = study, ledger, site
        self.log, self.train = site.place.log, site.train
        self.planner = Planner(study, study.opened(), ledger)
        self.apart = Apart(study)
        self.promotion = Promotion(study) if len(study.looks) > 1 else None
        ledger.decide = self.promotion

    def step(self) -> bool:
        """Do one trial, or wait a moment for one; False when the study needs nobody any more."""
        stop = self.ledger.fact(STOP)
        if time.time() > self.site.until or (stop and self.ledger.now() > float(stop)):
            return False
        name, trials = owner(self.site.place.name), trials_of(self.study, self.ledger)
        if trials != self.study.budget.trials:
            self.study = self.study.of_trials(trials)
            if self.promotion:
                self.promotion.study = self.study  # the last cohort is another one
        claim = self.ledger.claim(name, below=trials, lag=self.study.lag)
        if claim is None:
            pause(0.2)  # another worker may die and leave its trial behind
            states = self.ledger.states(trials)
            return states["running"] + states["open"] > 0
        try:
            began, started = time.monotonic(), self.ledger.now()
            with self.holding(claim), self.sizing(claim):
                plan = self.planner.plan(claim)
            record = self.conduct(claim, plan, began) if plan else self.exhausted(claim)
            record = self.timed(claim, record, started)
            end = self.ledger.finish_rung if record.status == "stopped" else self.ledger.finish
            end(claim.slot, claim.token, record.model_dump_json())
        except LeaseLost as lost:
            self.ledger.storage.say(str(lost))
        except NoRoom as full:
            self.ledger.storage.say(f"trial {claim.slot} is given back: {full}; waiting")
            with suppress(LeaseLost):
                self.ledger.give_back(claim.slot, claim.token)
            pause(ROOM)
        return True

    @contextmanager
    def holding(self, claim: Claim) -> Generator[None]:
        """Keep a trial while it is planned, which may take longer than a lease.

        To match a candidate models are built and run, in processes that are forked meanwhile.
        """
        over, often = threading.Event(), self.ledger.lease / 4

        def hold() -> None:
            if over.wait(often):
                return
            with STILL:
                own = Ledger(self.site.ledger, self.site.study, self.ledger.lease)
            with own, suppress(LeaseLost):  # who plans finds out by itself
                while True:
                    with STILL:
                        own.renew(claim.slot, claim.token)
                    if over.wait(often):
                        return

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        try:
            yield
        finally:
            over.set()
            holder.join()

    def sizing(self, claim: Claim) -> AbstractContextManager[None]:
        """Bound what the sizes of a candidate may cost; `load_study` has seen known memories."""
        return nullcontext() if claim.origin in KNOWN else self.apart.used()

    def conduct(self, claim: Claim, plan: Plan, began: float) -> TrialRecord:
        """Train a memory on the tasks of its rung; what was done before is not done again."""
        slot, token = claim.slot, claim.token
        kept = sorted(self.ledger.runs(slot).items())
        done = [Result.model_validate_json(text) for _, text in kept]
        earlier = sum(result.seconds for result in done)
        ending: Ending | None = None
        unfinished = self.site.place.folder / "checkpoints" / str(slot)
        while True:
            study = plan.within(self.study)
            shift = self.study.shift(slot)
            job = Job(study, plan.memory, plan.rates, tuple(done), claim.rung, shift, unfinished)
            job = job._replace(device=self.site.device)
            try:
                for message in isolated(
                    job, self.train, lambda: self.ledger.renew(slot, token), self.ledger.lease / 4
                ):
                    if isinstance(message, Result):
                        self.ledger.add_run(slot, token, len(done), message.model_dump_json())
                        done.append(message)
                    else:
                        ending = message
                break
            except Crashed as crash:
                if self.ledger.crashed(slot, token) >= MOST_CRASHES:
                    ending = ("error", f"{crash}, {MOST_CRASHES} times; see {self.log}")
                    break
        shutil.rmtree(unfinished, ignore_errors=True)
        seconds = earlier + time.monotonic() - began
        return recorded(self.study, slot, plan, done, ending, seconds, claim.rung)

    def timed(self, claim: Claim, record: TrialRecord, started: float) -> TrialRecord:
        """The record with who worked at the trial and when, its earlier rungs included."""
        earlier: tuple[Sitting, ...] = ()
        if claim.rung:
            earlier = TrialRecord.model_validate_json(self.ledger.record(claim.slot)).sittings
        name = anonymous(owner(self.site.place.name))
        now = Sitting(worker=name, started=started, ended=self.ledger.now())
        return record.model_copy(update={"sittings": (*earlier, now)})

    def exhausted(self, claim: Claim) -> TrialRecord:
        """The record of a trial for which no new memory could be found."""
        return TrialRecord(
            study=self.study.name,
            number=claim.slot,
            origin="search",
            name="none",
            key="",
            memory={},
            choices={},
            status="invalid",
            reason="no new memory found: the space has no more of them, or hardly any",
        )


def recorded(
    study: Study,
    slot: int,
    plan: Plan,
    results: Sequence[Result],
    ending: Ending | None,
    seconds: float,
    rung: int = -1,
) -> TrialRecord:
    """The record of a trial from what its runs gave, as it stands if it ends with this rung."""
    rung %= len(study.looks)
    verdict = judge(study, results, ending, rung, study.shift(slot))
    stops = verdict.status == "ok" and rung < len(study.looks) - 1
    counting = {run.seed for run in runs_of(study, [0.0], rung, study.shift(slot))}
    others = any(result.seed not in counting for result in results)
    among = f"not among the best {study.looks[rung].keep:.0%} of rung {rung + 1}"
    return TrialRecord(
        study=study.name,
        number=slot,
        origin=plan.origin,
        proposed_by=plan.proposed_by,
        name=plan.memory.name,
        key=key(plan.memory),
        memory=plain(plan.memory),
        choices=dict(plan.choices),
        shell=dict(plan.shell),
        status="stopped" if stops else verdict.status,
        reason=among if stops else verdict.reason,
        rung=rung + (verdict.status == "ok"),
        objectives=verdict.test,
        results=tuple(results),
        equals=plan.known(),
        learning_rate=verdict.learning_rate,
        seeds=tuple(sorted(counting)) if others else (),
        seconds=seconds,
    )
