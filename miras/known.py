"""The named memories of the field: one YAML file each in `spaces/known/`."""

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from miras.load import load
from miras.memory import Memory
from miras.part import SpecError


def folder() -> Path:
    """Where the files are."""
    return Path(str(files("miras") / "spaces" / "known"))


@cache
def known() -> dict[str, Memory]:
    """All named memories by name, in alphabetical order."""
    found = (load(path, Memory) for path in sorted(folder().glob("*.yaml")))
    return {memory.name: memory for memory in found}


def named(name: str) -> Memory:
    """The known memory of this name. Raises SpecError with the nearest names."""
    if name in known():
        return known()[name]
    near = difflib.get_close_matches(name, known(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "`miras ls known` lists them"
    raise SpecError(f"there is no known memory {name!r}: {hint}")


def expand(entry: Any) -> Any:
    """A name, or `{use: name, ...}` with changes laid over it, as the spec of a memory.

    A change that names another `kind` replaces the part, one that does not changes its fields. What
    is neither is returned as it is.
    """
    if isinstance(entry, str):
        return named(entry).model_dump()
    fields = cast(Mapping[str, Any], entry if isinstance(entry, Mapping) else {})
    if "use" not in fields:
        return cast(Any, entry)
    name = str(fields["use"])
    base = named(name).model_dump()
    changes = {field: change for field, change in fields.items() if field != "use"}
    if not changes:
        return base
    return overlay(base, {"name": f"{name}*", "paper": "", "equation": ""} | changes)


def overlay(base: Any, change: Any) -> Any:
    """`change` laid over `base`, mapping by mapping."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    below, above = cast(Mapping[str, Any], base), cast(Mapping[str, Any], change)
    if "kind" in above and above["kind"] != below.get("kind"):
        return above
    return dict(below) | {name: overlay(below.get(name), value) for name, value in above.items()}
