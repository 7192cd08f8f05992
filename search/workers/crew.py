"""The workers of one parent: what it wants of them, and the plain kind, processes of this machine.

Whatever keeps workers alive somewhere (see `cluster`) has them run `worker.work`, and nothing else:
the ledger is what they share, so that it does not matter where they are.
"""

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import NamedTuple, Protocol

from ..ledger.place import Site, owner
from ..trial.isolation import WORKERS
from .worker import work

WORKERS.set_forkserver_preload(["miras.search.workers.worker"])


class Gone(NamedTuple):
    """A worker that is gone."""

    name: str  # with which the names begin under which it held trials
    failed: bool  # it gave up by itself: a new one would fare alike
    why: str = ""


class Crew(Protocol):
    """Workers at a study."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def hire(self) -> None:
        """One more worker."""
        ...

    def bury(self) -> list[Gone]:
        """Those that are gone since this was asked last."""
        ...

    def wait(self) -> None:
        """Let workers go that have seen by themselves that nothing is left."""
        ...

    def end(self) -> None:
        """End all workers in order, and those that do not follow by force."""
        ...


Hire = Callable[[Site, Callable[[str], None]], Crew]
"""Makes a crew without workers yet; it may tell a person something."""


class Processes:
    """Processes of this machine, each with one thread."""

    def __init__(self, site: Site, say: Callable[[str], None] = print) -> None:
        self.site = site
        self.workers: list[BaseProcess] = []

    def __len__(self) -> int:
        return len(self.workers)

    def hire(self) -> None:
        """One more worker."""
        worker: BaseProcess = WORKERS.Process(target=work, args=(self.site,))
        worker.start()
        self.workers.append(worker)

    def bury(self) -> list[Gone]:
        """Those that are gone since this was asked last."""
        gone = [each for each in self.workers if not each.is_alive()]
        for worker in gone:
            self.workers.remove(worker)
        # A signal comes from outside; an exit by itself means that a new one would fare alike.
        name = self.site.place.name
        return [Gone(owner(name, each.pid), (each.exitcode or 0) > 0) for each in gone]

    def wait(self) -> None:
        """Let workers go that have seen by themselves that nothing is left."""
        for worker in self.workers:
            worker.join(timeout=10)

    def end(self) -> None:
        """End all workers in order, and those that do not follow by force."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(timeout=10)
            if worker.is_alive():
                worker.kill()
                worker.join()
        self.workers.clear()
