"""Files that appear whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A draft to write; it takes the place of a file when all went well, else nothing is left.

    A process that is killed leaves the old file or the new one, and a power cut too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            yield draft
        except OSError as error:
            if error.filename == str(draft):  # nobody has asked for a draft
                error.filename = str(path)
            raise
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        _settle(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def drafts(path: Path) -> list[Path]:
    """What processes left that were killed while they wrote a file."""
    return list(path.parent.glob(f"{path.name}.*.part"))


def _settle(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where the system can."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
