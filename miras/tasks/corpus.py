"""Real text as bytes: what to read, and which part of it trains."""

import os
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from miras.part import SpecError

BLOCKS = 20
"""The text is cut into so many blocks and each block into 90 / 5 / 5 %: the held-out splits look
like the text as a whole, not like its last files."""

NOT_LIBRARY = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
"""Folders of the standard library's directory that hold tests (copies of each other in part) or
other people's packages."""


class Corpus(NamedTuple):
    """The training bytes in one piece, and the held-out bytes as windows that do not overlap."""

    train: UInt8[np.ndarray, " bytes"]
    validation: UInt8[np.ndarray, "windows window"]
    test: UInt8[np.ndarray, "windows window"]


class Source(NamedTuple):
    """What to read; `path` None is the Python standard library."""

    path: Path | None
    pattern: str  # of the names of files in a folder
    limit: int  # bytes
    window: int  # bytes: a context and the byte after it


@lru_cache(maxsize=4)
def corpus(source: Source) -> Corpus:
    """Read in the order of names, drop documents equal to an earlier one, split."""
    place = source.path or "the Python standard library"
    try:
        text = b"".join(_documents(source))
    except (OSError, RuntimeError) as error:
        raise SpecError(
            f"byte_lm cannot read {place} ({error}): make it readable or give another `path`"
        ) from None
    window, needed = source.window, 20 * source.window
    if len(text) < needed:
        raise SpecError(
            f"byte_lm found {len(text)} bytes of text in {place}, a context of {window - 1} needs"
            f" {needed} or more: give more text in `path`, or a shorter `context`"
        )
    data = np.frombuffer(text, np.uint8)
    # Small texts get fewer blocks, so that a held-out piece of 5 % holds eight windows or more.
    pieces = [
        np.split(block, [len(block) * 90 // 100, len(block) * 95 // 100])
        for block in np.array_split(data, max(1, min(BLOCKS, len(data) // (160 * window))))
    ]
    train, validation, test = zip(*pieces, strict=True)
    return Corpus(np.concatenate(train), _windows(validation, window), _windows(test, window))


def _windows(
    pieces: tuple[UInt8[np.ndarray, " bytes"], ...], window: int
) -> UInt8[np.ndarray, "windows window"]:
    return np.concatenate(
        [piece[: len(piece) // window * window].reshape(-1, window) for piece in pieces]
    )


def _documents(source: Source) -> Iterator[bytes]:
    seen: set[bytes] = set()
    room = source.limit
    for file in _files(source.path, source.pattern):
        if room <= 0:
            return
        with file.open("rb") as opened:
            document = opened.read(room)
        digest = sha256(document).digest()
        if digest not in seen:
            seen.add(digest)
            room -= len(document)
            yield document


def _files(path: Path | None, pattern: str) -> list[Path]:
    if path is None:
        library = _walk(Path(sysconfig.get_path("stdlib")), "*.py", NOT_LIBRARY)
        # _sysconfigdata*.py describes the machine on which Python was built.
        return [file for file in library if not file.name.startswith("_sysconfig")]
    path = path.expanduser()
    if not path.exists():
        raise SpecError(
            f"byte_lm finds no file or folder {path}: correct `path`, or leave it out to read the"
            " Python standard library"
        )
    if not path.is_dir():
        return [path]
    found = _walk(path, pattern, {"__pycache__"})
    if not found:
        raise SpecError(
            f"byte_lm finds no file in {path} that matches {pattern!r}: correct `path` or `pattern`"
        )
    return found


def _walk(root: Path, pattern: str, without: set[str]) -> list[Path]:
    """Files in the order of their names; nothing hidden, nothing in unwanted folders."""

    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for folder, inner, names in os.walk(root, onerror=fail):
        inner[:] = [name for name in inner if name not in without and name[0] != "."]
        wanted = [Path(folder, name) for name in names if fnmatchcase(name, pattern)]
        found += [file for file in wanted if file.name[0] != "." and file.is_file()]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())
