"""Files of text as documents, piece by piece: no file is ever in memory as a whole."""

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from miras.part import SpecError
from miras.tasks.library import walk
from miras.text.settings import Training

PIECE = 2**16
"""Bytes that are read at a time."""

LINE = 2**26
"""A line of a .jsonl file has at most so many bytes."""


class Piece(NamedTuple):
    """Some bytes of a document, cut at the end of a line or at least between two characters."""

    text: bytes
    last: bool  # of its document


def listed(training: Training) -> list[Path]:
    """The files of a training, in the order in which they are read.

    What lies in the folder of a training is no text: somebody who trains on the folder where they
    are would read their own logs.
    """
    found: list[Path] = []
    for path in training.text:
        path = path.expanduser()
        try:
            if path.is_dir():
                inside = {file for name in training.names for file in walk(path, name, _NOT)}
                runs = {each for each in {file.parent for file in inside} if _a_run(each)}
                inside = {file for file in inside if file.parent not in runs}
                if not inside:
                    raise SpecError(
                        f"{path}: no file in this folder is called {' or '.join(training.names)}:"
                        " give others in `names`"
                    )
                found += sorted(inside, key=lambda file: file.relative_to(path).as_posix())
            elif path.is_file():
                found.append(path)
            elif path.exists():
                raise SpecError(f"{path}: neither a file nor a folder: give a file of text")
            else:
                raise SpecError(f"{path}: there is no such file or folder: correct its name")
        except OSError as error:
            raise SpecError(
                f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
            ) from None
    return list(dict.fromkeys(found))


_NOT = {"__pycache__"}


def _a_run(folder: Path) -> bool:
    return (folder / "text.json").exists() and (folder / "training.yaml").exists()


def fingerprint(files: Iterable[Path], *others: str) -> str:
    """Changes when a file is added, renamed, or changed in its size, its beginning or its end."""
    found = blake2b(repr(others).encode(), digest_size=16)
    for path in files:
        with _opened(path) as file:
            head = file.read(PIECE)
            size = file.seek(0, 2)
            file.seek(max(0, size - PIECE))
            found.update(repr((path.name, size)).encode() + head + file.read(PIECE))
    return found.hexdigest()


def documents(files: Iterable[Path], field: str) -> Iterator[Piece]:
    """All pieces of all documents; the last piece of a document may be empty."""
    for path in files:
        with _opened(path) as file:
            try:
                yield from _lines(file, path, field) if path.suffix == ".jsonl" else _plain(file)
            except OSError as error:
                raise SpecError(f"{path}: cannot be read ({error.strerror})") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be read ({error.strerror}): check its permissions, or leave it out"
        ) from None


def _plain(file: BinaryIO) -> Iterator[Piece]:
    rest, some = b"", False
    while chunk := file.read(PIECE):
        rest, some = rest + chunk, True
        at = _cut(rest)
        yield Piece(rest[:at], False)
        rest = rest[at:]
    if some:
        yield Piece(rest, True)


def _cut(text: bytes) -> int:
    """The end of the last line in it, or where there is none that of its last whole character."""
    if at := text.rfind(b"\n") + 1:
        return at
    for back in range(1, min(4, len(text)) + 1):
        if text[-back] & 0xC0 != 0x80:  # the first byte of a character
            return len(text) - back if text[-back] >= 0xC0 else len(text)
    return len(text)


def _lines(file: BinaryIO, path: Path, field: str) -> Iterator[Piece]:
    """The named field of each line."""
    number = 0
    while line := file.readline(LINE + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > LINE:
            raise SpecError(f"{where}: a line of more than {LINE // 2**20} MiB: make shorter ones")
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError):
            raise SpecError(f"{where}: not a line of JSON: correct or remove it") from None
        fields = cast(dict[str, Any], found) if isinstance(found, dict) else {}
        if field not in fields:
            names = ", ".join(fields)
            raise SpecError(
                f"{where}: no field {field!r} in this line: name another as `field`"
                + (f", one of {names[:200]}" if names else "")
            )
        text = fields[field]
        if not isinstance(text, str):
            raise SpecError(f"{where}: the field {field!r} holds no text: name another as `field`")
        if text:
            yield Piece(text.encode(errors="replace"), True)
