"""Real text as bytes: what to read, and which part of it trains."""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8

from miras.part import SpecError
from miras.tasks.library import Text, library, walk

BLOCKS = 20
"""The text is cut into so many blocks and each block into 90 / 5 / 5 %: the held-out splits look
like the text as a whole, not like its last files."""


class Corpus(NamedTuple):
    """The training bytes in one piece, and the held-out bytes as windows that do not overlap."""

    train: UInt8[np.ndarray, " bytes"]
    validation: UInt8[np.ndarray, "windows window"]
    test: UInt8[np.ndarray, "windows window"]


class Source(NamedTuple):
    """What to read: `path`, or where that is None one of the texts at hand."""

    path: Path | None
    pattern: str  # of the names of files in a folder
    limit: int  # bytes
    window: int  # bytes: a context and the byte after it
    text: Text = "python"


@lru_cache(maxsize=4)
def corpus(source: Source) -> Corpus:
    """Read in the order of names, drop documents equal to an earlier one, split."""
    place = source.path or f"the text {source.text!r}"
    try:
        text = b"".join(_documents(source))
    except (OSError, RuntimeError) as error:
        raise SpecError(
            f"miras cannot read {place} ({error}): make it readable or give another `path`"
        ) from None
    window, needed = source.window, 20 * source.window
    if len(text) < needed:
        raise SpecError(
            f"miras found {len(text)} bytes of text in {place}, a context of {window - 1} needs"
            f" {needed} or more: give more text in `path`, or a shorter context (`context`, the"
            " length of a rung)"
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
    every = library(source.text) if source.path is None else _own(source.path, source.pattern)
    while room > 0 and (opened := next(every, None)) is not None:
        with opened:
            document = opened.read(room)
        digest = sha256(document).digest()
        if digest not in seen:
            seen.add(digest)
            room -= len(document)
            yield document


def _own(path: Path, pattern: str) -> Iterator[BinaryIO]:
    """The files of a person's own text, opened."""
    path = path.expanduser()
    if not path.exists():
        raise SpecError(
            f"miras finds no file or folder {path}: correct `path`, or leave it out to read a text"
            " that is at hand"
        )
    found = walk(path, pattern, {"__pycache__"}) if path.is_dir() else [path]
    if not found:
        raise SpecError(
            f"miras finds no file in {path} that matches {pattern!r}: correct `path` or `pattern`"
        )
    for file in found:
        yield file.open("rb")
