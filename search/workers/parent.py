"""The parent of some workers: it plans and trains nothing.

It starts workers (processes of this machine, or others: see `crew`), replaces those that die, gives
their trials back at once, writes the files of its folder and shows what happens. Several parents,
on one machine or many, may share a study: each has a folder of its own, and gives back what its own
workers held and nothing else.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from miras.part import SpecError

from ..ledger.ledger import Ledger
from ..ledger.place import Place, Site
from ..ledger.projection import Projection, winner
from ..ledger.telling import Lost, Teller, usual
from ..proposing.planner import remarks
from ..study import Study
from .crew import Hire, Processes
from .progress import Display, Standing, line, standing
from .worker import STOP, trials_of

POLL = 0.25
AGAIN = 2.0
"""Seconds after which files that could not be written are tried again."""

FRUITLESS = 5
"""Workers that may die one after the other without a trial ending, before the search gives up."""


def left(states: Mapping[str, int]) -> int:
    """Trials that are not done, of numbers of trials by their state."""
    return sum(states.values()) - states["done"]


class Terms(NamedTuple):
    """How a parent takes part."""

    workers: int | None = None  # the study's own number
    minutes: float | None = None  # as long as there is something to do
    optuna: str = ""  # journal, sqlite or an address; the ledger's own if that is PostgreSQL
    crew: Hire = Processes  # where the workers are


class Parent:
    """One sitting of a study in one folder."""

    def __init__(
        self, study: Study, ledger: Ledger, place: Place, train: str, terms: Terms
    ) -> None:
        self.study, self.ledger, self.place, self.terms = study, ledger, place, terms
        self.space = study.opened()
        self.projection = Projection(study, self.space, ledger, place.folder)
        shared = ledger.storage.url.render_as_string(hide_password=False)
        kind = terms.optuna or (usual(place.folder) if ledger.storage.file else shared)
        self.teller = Teller(study, self.space, ledger, place, kind)
        minutes = float("inf") if terms.minutes is None else terms.minutes
        self.until = time.time() + 60 * minutes
        site = Site(place, shared, ledger.study, train, ledger.lease, self.until)
        if len(study.looks) > 1:
            ledger.decide = self.projection.promotion
            ledger.judge()
        self.crew = terms.crew(site, lambda text: self.display.say(text))
        self.display = Display(study)
        self.began, self.noted = ledger.now(), time.monotonic()
        self.before = float(ledger.fact("seconds") or 0.0)
        self.fruitless = 0
        self.trouble, self.again, self.closed = "", 0.0, False
        ledger.storage.say = self.display.say

    def run(self) -> Standing:
        """Until every trial is done or the time is up."""
        try:
            self.work()
        except KeyboardInterrupt:
            self.close()
            done = len(self.projection.records)
            self.display.say(
                f"Stopped: {done} of {self.study.budget.trials} trials are done and kept. Run the"
                " same command again to go on."
            )
            raise
        finally:
            self.close()
        return self.standing()

    def work(self) -> None:
        """Until every trial is done or the time is up."""
        self.ledger.release(f"{self.place.name}/")  # by whoever died in this folder before us
        budget = self.study.budget.seconds
        stop = self.began + budget - self.before if budget else float("inf")
        self.ledger.note(**{STOP: stop})
        if left(self.ledger.states(self.study.budget.trials)):
            self.ledger.note(finished="")  # a larger budget: it goes on
        self.greet(stop)
        workers = self.terms.workers or self.study.workers
        ended = float("inf")
        while True:
            self.bury()
            self.agree()
            states = self.ledger.states(self.study.budget.trials)
            stop = float(self.ledger.fact(STOP) or stop)
            self.follow()
            ours = time.time() < self.until
            wanted = states["open"] > 0 and self.ledger.now() < stop
            if not ours and not self.crew:
                self.display.say("our time is up; others may go on")
                break
            if states["running"] == 0 and not wanted:
                # Another parent that wrote Optuna's storage may have died: then it becomes ours.
                ended = min(ended, time.monotonic())
                patience = ended + self.ledger.lease + 2 * AGAIN
                if not self.ledger.untold() or time.monotonic() > patience:
                    break
            while wanted and ours and len(self.crew) < workers:
                self.crew.hire()
            time.sleep(POLL)
        self.crew.wait()
        self.conclude(states, self.ledger.now() >= stop)

    def greet(self, stop: float) -> None:
        """Say what is going to happen."""
        study, states = self.study, self.ledger.states(self.study.budget.trials)
        runs = len(study.tasks) * len(study.seeds) * len(study.rates)
        workers = self.terms.workers or study.workers
        self.display.say(
            f"{study.name}: {study.budget.trials} trials, {study.known} of known memories"
            f" first; up to {runs} trainings each ({', '.join(task.name for task in study.tasks)});"
            f" {workers} worker{'s' if workers > 1 else ''}, one thread each"
        )
        self.display.say(f"space {self.space.name}: {self.space.describe()}")
        for remark in remarks(study, self.space):
            self.display.say(remark)
        if states["done"]:
            self.display.say(f"going on: {states['done']} trials are done already")
        if stop < self.began and states["open"]:
            self.display.say("the time budget is used up: raise budget.seconds to go on")

    def agree(self) -> None:
        """Take the number of trials that the study has by now."""
        before, now = self.study.budget.trials, trials_of(self.study, self.ledger)
        if now != before:
            self.study = self.study.of_trials(now)
            self.projection.study = self.projection.promotion.study = self.study
            self.ledger.judge()  # the last cohort is another one
            self.display.say(f"the study has {now} trials by now, not {before}")

    def bury(self) -> None:
        """Take note of workers that are gone; what they held is open again at once."""
        for each in self.crew.bury():
            if each.why:
                self.display.say(f"a worker is gone: {each.why}")
            for slot in self.ledger.release(each.name):
                self.display.say(f"{slot:>4}  its worker died; it is taken up again")
            self.fruitless += each.failed
            if self.fruitless >= FRUITLESS:
                raise SpecError(
                    f"{FRUITLESS} workers in a row gave up: {self.place.log} says why; nothing"
                    " that was done is lost"
                )

    def follow(self) -> None:
        """Bring the files and the display up to the ledger."""
        if time.monotonic() < self.again:
            return
        try:
            fresh = self.projection.update()
            now = standing(self.study, self.ledger, list(self.projection.records.values()))
            for record in fresh:
                self.fruitless = 0
                self.display.ended(record, now)
            if fresh:
                self.note()
            elif time.monotonic() > self.noted + self.ledger.lease:
                self.note()  # the time of a long trial counts if this sitting is killed
            self.display.moved(now)
            self.teller.update(self.projection.records)
        except (OSError, Lost) as error:
            self.again = time.monotonic() + AGAIN
            if self.trouble != str(error):
                self.trouble = str(error)
                self.display.say(
                    f"{error}: nothing is lost, the files are written when they can be"
                )
        else:
            if self.trouble:
                self.trouble = ""
                self.display.say("the files can be written again")

    def standing(self) -> Standing:
        """How far the study is, and what is best so far."""
        records = list(self.projection.records.values())
        best = winner(self.study, records, self.study.measures)
        found = standing(self.study, self.ledger, records)
        rungs = tuple(self.projection.promotion.told(records))
        return found._replace(best=line(best) if best else "", rungs=rungs)

    def note(self) -> None:
        """Write the manifest and how long it took so far."""
        seconds = self.before + self.ledger.now() - self.began
        self.ledger.note(seconds=seconds)
        self.noted = time.monotonic()
        times = {name: self.ledger.fact(name) for name in ("started", "finished")}
        self.projection.manifest(
            **{name: float(value) for name, value in times.items() if value},
            seconds=round(seconds, 1),
        )

    def tidy(self) -> None:
        """Remove checkpoints of trials that are done: others may have finished them elsewhere."""
        done = self.projection.records
        for each in (self.place.folder / "checkpoints").glob("*"):
            if each.name.isdecimal() and int(each.name) in done:
                shutil.rmtree(each, ignore_errors=True)

    def conclude(self, states: Mapping[str, int], over: bool) -> None:
        """Say how it ended; `over`: the time budget is used up."""
        if over or not left(states):
            self.ledger.note(finished=self.ledger.now())
        self.note()
        self.display.say(str(self.standing()))
        if over and states["open"]:
            self.display.say(f"the time budget is used up: {states['open']} trials were not begun")
        folder = self.place.folder
        here = Path.cwd()
        near = folder.relative_to(here) if folder.is_relative_to(here) else folder
        self.display.say(f"results are in {near}: `miras report {near}`")

    def close(self) -> None:
        """End all workers in order; what they held is open again."""
        if self.closed:
            return
        self.closed = True
        self.crew.end()
        self.ledger.storage.patient = False  # whoever wants to leave does not wait
        try:
            self.ledger.release(f"{self.place.name}/")
            self.projection.update()
            self.note()
            self.tidy()
            self.teller.update(self.projection.records)
            self.teller.close()
        except (OSError, DBAPIError, Lost) as error:
            self.display.say(f"left in a hurry ({error}): what we held is free within a lease")
        self.display.close()
