"""Behind `miras init`: a folder to begin with."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from miras.part import SpecError

NAMES = ("memory.yaml", "space.yaml", "study.yaml")
SCHEMAS = "schemas"

FIRST = re.compile(r"(# yaml-language-server: \$schema=)\S*/(\w+\.json)")
"""The line by which an editor finds the schema of a file."""


def init(
    folder: Annotated[
        Path, typer.Argument(readable=False, help="where to; this folder if left out")
    ] = Path(),
) -> None:
    """Copy a memory, a space and a study to begin with, with comments that explain them.

    Beside them stand the schemas that let an editor complete and check such files. Nothing is
    overwritten. `miras search study.yaml` runs the study in a minute or two.
    """
    for path in begin(folder):
        print(path)
    print(f"next: miras explain {folder / 'memory.yaml'}, miras search {folder / 'study.yaml'}")


def begin(folder: Path) -> list[Path]:
    """Write the files; all of them or none. Raises SpecError if one is there already."""
    from miras.editing import save

    there = [name for name in (*NAMES, SCHEMAS) if (folder / name).exists()]
    if there:
        raise SpecError(
            f"{folder / there[0]} is there already, and nothing is overwritten: name another"
            " folder, as in `miras init my-study`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    for name in NAMES:
        text = (files("miras") / "starter" / name).read_text(encoding="utf-8")
        path = folder / name
        path.write_text(FIRST.sub(rf"\g<1>{SCHEMAS}/\2", text), encoding="utf-8")
        found.append(path)
    save(folder / SCHEMAS)
    return [*found, folder / SCHEMAS]
