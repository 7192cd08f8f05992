"""The named memories of the field, single ones and compositions: a file each in `spaces/known/`."""

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from miras.composition import AnyCell, Composition
from miras.load import load
from miras.memory import Memory
from miras.part import SpecError


def folder() -> Path:
    """Where the files are."""
    return Path(str(files("miras") / "spaces" / "known"))


@cache
def known() -> dict[str, AnyCell]:
    """All named memories and compositions by name, in alphabetical order."""
    return {name: _load(name) for name in _files()}


def cells() -> dict[str, Memory]:
    """The named memories that are one cell: four choices each."""
    return {name: memory for name, memory in known().items() if isinstance(memory, Memory)}


def compositions() -> dict[str, Composition]:
    """The named memories that are put together from several."""
    return {name: found for name, found in known().items() if isinstance(found, Composition)}


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder().glob("*.yaml"))}


@cache
def _load(name: str) -> AnyCell:
    # One at a time: the file of a composition names others.
    return load(_files()[name], AnyCell)


def named(name: str) -> AnyCell:
    """The known memory of this name. Raises SpecError with the nearest names."""
    if name in _files():
        return _load(name)
    near = difflib.get_close_matches(name, _files(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "`miras ls known` lists them"
    raise SpecError(f"there is no known memory {name!r}: {hint}")


def expand(entry: Any) -> Any:
    """A name, or `{use: name, ...}` with changes laid over it, as the spec of a memory.

    A change that names another `kind` replaces the part, one that does not changes its fields.
    `every` beside `use` is the update period of the cell, `optimizer: {every: ...}`. What is
    neither is returned as it is.
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
    if "every" in changes and "compose" not in base:
        optimizer = overlay(changes.get("optimizer", {}), {"every": changes.pop("every")})
        changes["optimizer"] = optimizer
    return overlay(base, {"name": f"{name}*", "paper": "", "equation": ""} | changes)


def overlay(base: Any, change: Any) -> Any:
    """`change` laid over `base`, mapping by mapping."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    below, above = cast(Mapping[str, Any], base), cast(Mapping[str, Any], change)
    if "kind" in above and above["kind"] != below.get("kind"):
        return above
    return dict(below) | {name: overlay(below.get(name), value) for name, value in above.items()}
