"""The named memories of the field: one YAML file each in `spaces/known/`."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from miras.load import load
from miras.memory import Memory


def folder() -> Path:
    """Where the files are."""
    return Path(str(files("miras") / "spaces" / "known"))


@cache
def known() -> dict[str, Memory]:
    """All named memories by name, in alphabetical order."""
    found = (load(path, Memory) for path in sorted(folder().glob("*.yaml")))
    return {memory.name: memory for memory in found}
