"""JSON Schemas as editors want them: short, with the words of the docstrings, exact in complaints.

Pydantic writes a choice of parts out wherever it stands, and a validator can only say that none of
them fits. Here a choice is written once; which part is meant is read off its `kind` (`if`, `then`),
so that a misspelt setting is complained about where it stands. Kinds and known memories come with
descriptions (`enumDescriptions`, which editors show beside each completion).

The dialect is draft 7, the one that all editors read.
"""

from typing import Any

from miras.schema.maker import GRAMMAR as GRAMMAR
from miras.schema.maker import Maker as Maker
from miras.schema.pieces import Schema as Schema


def schema_of(model: Any, packages: tuple[str, ...] = GRAMMAR, title: str = "") -> Schema:
    """The schema of a type, for files in which nothing is left open."""
    return Maker(model, packages, holes=False).whole(title)
