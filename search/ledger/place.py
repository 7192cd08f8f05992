"""Where a search is at home: a folder with its log and files, and the names of its workers.

Everybody who takes part in a study, on whatever machine, has a folder of its own. Its name is in
the names of its workers, so that it knows what they held when it has to give that back. A copy of a
folder is another folder, and gets a name of its own.
"""

import fcntl
import os
import socket
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from miras.part import SpecError

LEDGER, LOG, LOCK = "ledger.db", "log.txt", "lock"


class Place(NamedTuple):
    """A folder that is ours alone."""

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        """What workers say."""
        return self.folder / LOG

    @property
    def ledger(self) -> str:
        """The address of the ledger of a study that is on this machine alone."""
        return f"sqlite:///{self.folder / LEDGER}"


class Site(NamedTuple):
    """What a worker is told: where its study is, for whom it works there, and how."""

    place: Place
    ledger: str
    study: str
    train: str
    lease: float
    until: float = float("inf")  # by its own clock: it begins nothing later
    device: str = "cpu"  # that trainings use


@contextmanager
def alone(folder: Path) -> Generator[Place]:
    """Have a folder for oneself. Raises SpecError if somebody else has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError(
                f"another search is running in {folder}: wait for it, or use another folder"
            ) from None
        file.seek(0)
        name, _, home = file.read().strip().partition(" ")
        if home != (here := _identity(file.fileno())):
            # A copy: with the name of the other one it would take away what its workers hold.
            name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            file.truncate(0)
            file.write(f"{name} {here}\n")
            file.flush()
        yield Place(folder.absolute(), name)


def _identity(file: int) -> str:
    """What a file shares with no copy of it, wherever that is; a file that is moved keeps it."""
    about = os.fstat(file)
    return f"{socket.gethostname()}:{about.st_dev}:{about.st_ino}"


def owner(parent: str, process: int | None = None) -> str:
    """The name under which a process, by default this one, holds trials for its parent."""
    return f"{parent}/{process or os.getpid()}."


def anonymous(owner: str) -> str:
    """An owner without the name of its machine, for records that people publish."""
    folder, _, process = owner.partition("/")
    return f"{folder.rpartition('-')[2]}/{process.rstrip('.')}"
