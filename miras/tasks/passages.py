"""Passages that end in a word to be guessed: from a file of JSON lines, or cut from a text."""

import json
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import UInt8

from miras.part import SpecError
from miras.tasks.corpus import Source, corpus

WORD = re.compile(rb"\s[A-Za-z]{2,}(?=\s)")
"""A word of letters alone, as the end of a passage that is cut from a text."""


class Passages(NamedTuple):
    """Bytes to train on, and the passages of the held-out splits."""

    train: UInt8[np.ndarray, " bytes"]
    validation: tuple[bytes, ...]
    test: tuple[bytes, ...]


@lru_cache(maxsize=4)
def passages(path: Path | None, field: str, source: Source) -> Passages:
    """Passages of `path`, without one windows of the source that are cut after a word.

    Training is on the source where it has a path or there is no file, else on the file's own
    passages: six in eight of them by their hash. `source.window` is the longest passage.
    """
    if path is None:
        text = corpus(source)
        return Passages(text.train, *map(_cut, (text.validation, text.test)))
    found = _read(path.expanduser(), field)
    eighth = {each: sha256(each).digest()[0] % 8 for each in found}
    test = tuple(each for each in found if eighth[each] == 0)
    validation = tuple(each for each in found if eighth[each] == 1)
    rest = [each for each in found if eighth[each] > 1]
    if source.path is not None:  # what the file need not train is tested as well
        train, test = corpus(source).train, (*test, *rest)
    else:
        train = np.frombuffer(b"\n".join(rest), np.uint8)
    if not validation or not test or len(train) <= source.window:
        raise SpecError(
            f"{path} has {len(found)} passages, {len(validation)} of them for validation,"
            f" {len(test)} for the test and {len(train)} bytes to train on, which have to be more"
            f" than {source.window}: give more passages, a text in `train`, or a shorter `context`"
        )
    return Passages(train, validation, test)


def _cut(windows: UInt8[np.ndarray, "windows window"]) -> tuple[bytes, ...]:
    """Windows up to the last word in them; those without a word in their second half are left."""
    found: dict[bytes, None] = {}
    for window in windows:
        text = window.tobytes()
        ends = [match.end() for match in WORD.finditer(text)]
        if ends and ends[-1] > len(text) // 2:
            found[text[: ends[-1]]] = None
    return tuple(found)


def _read(path: Path, field: str) -> list[bytes]:
    """The different passages of a file of JSON lines, without space at their ends."""
    try:
        with path.open(encoding="utf-8") as opened:
            found = dict.fromkeys(
                _passage(line, field, f"{path}:{number}")
                for number, line in enumerate(opened, 1)
                if line.strip()
            )
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"last_word cannot read {path} ({error}): give a file of JSON lines in `path`"
        ) from None
    if not found:
        raise SpecError(
            f"{path} is empty: each line should be like {json.dumps({field: 'some words'})}"
        )
    return list(found)


def _passage(line: str, field: str, place: str) -> bytes:
    try:
        found: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise SpecError(f"{place}: this line is no JSON ({error.msg}): correct it") from None
    if not isinstance(found, dict):
        raise SpecError(f'{place}: an object like {{"{field}": "some words"}} is needed')
    entry = cast(dict[str, Any], found)
    if not isinstance(entry.get(field), str):
        named = ", ".join(map(repr, entry)) or "nothing"
        raise SpecError(
            f"{place}: there is no text called {field!r}, the line has {named}: correct it or name"
            " the right one in `field`"
        )
    words = entry[field].encode().strip()
    if len(words.split()) < 2:
        raise SpecError(f"{place}: {entry[field]!r} has no words before its last: take it out")
    return words
