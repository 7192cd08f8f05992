"""Run a study: workers around a ledger, and the files that follow from it.

The parent plans and trains nothing. It starts workers, replaces those that die, gives their trials
back at once, writes the files and shows what happens. Started again on the same folder it goes on.
"""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna

from miras.canonical import key
from miras.known import known
from miras.part import SpecError
from miras.result import TrialRecord

from .isolation import WORKERS
from .ledger import Ledger, here, owner
from .progress import Display, Standing, line, standing
from .projection import Projection, winner
from .study import Study
from .worker import LEDGER, LOG, work

TRAIN = "miras.search.evaluation:train"
POLL = 0.25
FRUITLESS = 5
"""Workers that may die one after the other without a trial ending, before the search gives up."""


def run(study: Study, folder: Path | str, train: str = TRAIN) -> Standing:
    """Run a study in a folder, or go on with it. Raises SpecError if the folder holds another one.

    `train` names the function that trains one memory on one task (see `evaluation.Train`).
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _alone(place), Ledger(place / LEDGER) as ledger:
        enter(study, ledger, place)
        search = _Search(study, ledger, place, train)
        try:
            search.work()
        except KeyboardInterrupt:
            search.close()
            done = ledger.states(study.budget.trials)["done"]
            search.display.say(
                f"Stopped: {done} of {study.budget.trials} trials are done and kept. Run the same"
                " command again to go on."
            )
            raise
        finally:
            search.close()
        return search.standing()


def status(folder: Path | str) -> Standing:
    """How far the study in a folder is. Raises SpecError if there is none."""
    path = Path(folder) / LEDGER
    if not path.is_file():
        raise SpecError(f"there is no study in {folder}: `miras search STUDY` starts one")
    with Ledger(path) as ledger:
        study = Study.model_validate_json(ledger.fact("study") or "{}")
        records = [TrialRecord.model_validate_json(s.record) for s in ledger.slots() if s.record]
        best = winner(study, records, study.measures)
        return standing(study, ledger, records)._replace(best=line(best) if best else "")


def enter(study: Study, ledger: Ledger, folder: Path) -> None:
    """Write a study into its ledger, or make sure that it is the one that is there."""
    text = ledger.fact("study")
    if text is None:
        ledger.note(started=time.time())
    elif changed := study.differences(Study.model_validate_json(text)):
        raise SpecError(
            f"{folder} holds a study with another {', '.join(changed)}: go on with the old file, or"
            " give the new study another name or folder"
        )
    ledger.note(study=study.model_dump_json())
    ledger.extend(study.budget.trials, [key(known()[name]) for name in study.baselines])
    ledger.release(here())  # by whoever died before us: we are alone in this folder


@contextmanager
def _alone(folder: Path) -> Generator[None, None, None]:
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError(
                f"another search is running in {folder}: wait for it, or use another folder"
            ) from None
        yield


class _Search:
    """The parent of the workers of one sitting."""

    def __init__(self, study: Study, ledger: Ledger, folder: Path, train: str) -> None:
        self.study, self.ledger, self.folder, self.train = study, ledger, folder, train
        self.space = study.opened()
        self.projection = Projection(study, self.space, ledger, folder)
        self.display = Display(study)
        self.began = time.time()
        self.before = float(ledger.fact("seconds") or 0.0)
        self.workers: list[BaseProcess] = []
        self.fruitless = 0

    def work(self) -> None:
        """Until every trial is done or the time is up."""
        budget = self.study.budget.seconds
        stop = self.began + budget - self.before if budget else float("inf")
        self.ledger.note(stop=stop)
        self.greet(stop)
        while True:
            self.bury()
            states = self.ledger.states(self.study.budget.trials)
            self.follow()
            wanted = states["open"] > 0 and time.time() < stop
            if states["running"] == 0 and not wanted:
                break
            while wanted and len(self.workers) < self.study.workers:
                worker = WORKERS.Process(target=work, args=(self.folder, self.train))
                worker.start()
                self.workers.append(worker)
            time.sleep(POLL)
        for worker in self.workers:
            worker.join(timeout=10)  # they have seen by themselves that nothing is left
        self.conclude(states["open"])

    def greet(self, stop: float) -> None:
        """Say what is going to happen."""
        study, states = self.study, self.ledger.states(self.study.budget.trials)
        runs = len(study.tasks) * len(study.seeds) * len(study.rates)
        self.display.say(
            f"{study.name}: {study.budget.trials} trials, {len(study.baselines)} known memories"
            f" first; up to {runs} trainings each ({', '.join(task.name for task in study.tasks)});"
            f" {study.workers} worker{'s' if study.workers > 1 else ''}, one thread each"
        )
        self.display.say(f"space {self.space.name}: {self.space.describe()}")
        if states["done"]:
            self.display.say(f"going on: {states['done']} trials are done already")
        if stop < time.time() and states["open"]:
            self.display.say("the time budget is used up: raise budget.seconds to go on")

    def bury(self) -> None:
        """Take note of workers that are gone; what they held is open again at once."""
        for worker in [each for each in self.workers if not each.is_alive()]:
            self.workers.remove(worker)
            for slot in self.ledger.release(owner(worker.pid)):
                self.display.say(f"{slot:>4}  its worker died; it is taken up again")
            # A signal comes from outside; an exit by itself means that a new one would fare alike.
            self.fruitless += (worker.exitcode or 0) > 0
            if self.fruitless >= FRUITLESS:
                raise SpecError(
                    f"{FRUITLESS} workers in a row gave up: {self.folder / LOG} says why; nothing"
                    " that was done is lost"
                )

    def follow(self) -> None:
        """Bring the files and the display up to the ledger."""
        fresh = self.projection.update()
        now = standing(self.study, self.ledger, list(self.projection.records.values()))
        for record in fresh:
            self.fruitless = 0
            self.display.ended(record, now)
        if fresh:
            self.note()
        self.display.moved(now)

    def standing(self) -> Standing:
        """How far the study is, and what is best so far."""
        records = list(self.projection.records.values())
        best = winner(self.study, records, self.study.measures)
        found = standing(self.study, self.ledger, records)
        return found._replace(best=line(best) if best else "")

    def note(self) -> None:
        """Write the manifest and how long it took so far."""
        seconds = self.before + time.time() - self.began
        self.ledger.note(seconds=seconds)
        times = {name: self.ledger.fact(name) for name in ("started", "finished")}
        self.projection.manifest(
            **{name: float(value) for name, value in times.items() if value},
            seconds=round(seconds, 1),
        )

    def conclude(self, left: int) -> None:
        """Say how it ended."""
        self.ledger.note(finished=time.time())
        self.note()
        self.display.say(str(self.standing()))
        if left:
            self.display.say(f"the time budget is used up: {left} trials were not begun")
        self.display.say(f"results are in {self.folder}: `miras report {self.folder}`")

    def close(self) -> None:
        """End all workers in order; what they held is open again."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(timeout=10)
            if worker.is_alive():
                worker.kill()
                worker.join()
        self.workers.clear()
        self.ledger.release(here())
        if self.projection.update():
            self.note()
        self.display.close()
