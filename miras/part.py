"""What every part of the grammar is, and how a folder of files becomes one axis of choice.

A part is a frozen pydantic model whose fields are at once the YAML, the JSON Schema and the search
dimensions. One file in an axis folder (`bias/huber.py`) holds one part; nobody keeps a registry.
"""

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ENTRY_POINTS = "miras.parts"
"""Entry-point group through which other packages add parts: `bias.mine = "package.module"`."""


class SpecError(ValueError):
    """A file, a spec or a setting that a person wrote is wrong; the message says what to do."""


class IncompatibleParts(SpecError):
    """Parts that are each right and do not fit together."""


class Part(BaseModel):
    """A choice with its settings. Leaves alone declare `kind: Literal["name"] = "name"`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def summary(cls) -> str:
        """First sentence of the docstring: what `miras ls` and the schema show."""
        return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


@cache
def leaves(package: str, tag: str = "kind") -> dict[str, type[Part]]:
    """The parts of an axis, by kind: one per file of the folder, and those of entry points.

    `tag` is the field that holds the kind.
    """
    axis = package.rpartition(".")[2]
    modules = [
        f"{package}.{found.name}"
        for found in pkgutil.iter_modules(importlib.import_module(package).__path__)
    ]
    modules += [
        point.value
        for point in entry_points(group=ENTRY_POINTS)
        if point.name.partition(".")[0] == axis
    ]
    found: dict[str, type[Part]] = {}
    for name in modules:
        for member in vars(importlib.import_module(name)).values():
            if not (inspect.isclass(member) and issubclass(member, Part)):
                continue
            if member.__module__ != name or tag not in member.model_fields:
                continue
            kind = member.model_fields[tag].default
            if found.setdefault(kind, member) is not member:
                raise SpecError(f"two parts of {axis} are called {kind!r}: rename one of them")
    return dict(sorted(found.items()))


def _expand(value: Any) -> Any:
    """A bare name stands for the part of that name with its default settings."""
    return {"kind": value} if isinstance(value, str) else value


def one_of(package: str, tag: str = "kind") -> Any:
    """The type "any part of this axis", discriminated by its tag.

    Where the tag is `kind`, `huber` means `{kind: huber}`.
    """
    members = tuple(leaves(package, tag).values())
    union = Union[members]  # noqa: UP007 - built from a tuple known only at run time
    if len(members) > 1:
        union = Annotated[union, Field(discriminator=tag)]
    if tag != "kind":
        return union
    names = Annotated[str, Field(json_schema_extra={"enum": list(leaves(package))})]
    shorthand = BeforeValidator(_expand, json_schema_input_type=Union[union, names])  # noqa: UP007
    return Annotated[union, shorthand]
