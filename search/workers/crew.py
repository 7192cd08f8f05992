"""The workers of one parent: processes of this machine, each with one thread."""

from multiprocessing.process import BaseProcess

from ..ledger.place import Site, owner
from ..trial.isolation import WORKERS
from .worker import work

WORKERS.set_forkserver_preload(["miras.search.workers.worker"])


class Crew:
    """Processes that work at a study."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.workers: list[BaseProcess] = []

    def __len__(self) -> int:
        return len(self.workers)

    def hire(self) -> None:
        """One more worker."""
        worker: BaseProcess = WORKERS.Process(target=work, args=(self.site,))
        worker.start()
        self.workers.append(worker)

    def bury(self) -> list[tuple[str, bool]]:
        """The workers that are gone: under which name, and whether they gave up by themselves."""
        gone = [each for each in self.workers if not each.is_alive()]
        for worker in gone:
            self.workers.remove(worker)
        # A signal comes from outside; an exit by itself means that a new one would fare alike.
        name = self.site.place.name
        return [(owner(name, each.pid), (each.exitcode or 0) > 0) for each in gone]

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
