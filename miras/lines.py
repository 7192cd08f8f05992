"""Files of records, one JSON line each: a killed writer loses at most the line it was writing."""

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

SCHEMA_VERSION = 2
READABLE = (1, 2)
"""Version 1 lacks the costs of a result; its scores have no learning curve in them."""


class ResultsError(ValueError):
    """What was asked of results cannot be given; its sentence says what to do about it."""


class DamagedLines(UserWarning):
    """Some lines of a file are no records, and no killed writer has left them so."""


class Line(BaseModel):
    """One line of a results file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION


Record = TypeVar("Record", bound=Line)


def append(path: Path, record: Line) -> None:
    """Add one line, flushed to disk: a killed process loses at most the line it was writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = record.model_dump_json() + "\n"
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
            text = "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, kind: type[Record]) -> list[Record]:
    """All whole lines of a file; lines that are no JSON are skipped.

    Those that a killed process has torn are no loss: its work is done again. Of others, damage,
    DamagedLines is warned. Raises ResultsError with file and line if any other line is not a record
    of this kind.
    """
    if not path.exists():
        return []
    damaged: list[int] = []
    found = list(_parse(path, path.read_bytes().split(b"\n"), kind, damaged))
    if damaged:
        places = f"line {damaged[0]} is" if len(damaged) == 1 else f"lines {_some(damaged)} are"
        warnings.warn(
            f"{path}: {places} damaged and skipped: what was written there is missing in what"
            " follows; restore it from a copy, or remove it",
            DamagedLines,
            stacklevel=2,
        )
    return found


def _some(numbers: Sequence[int], most: int = 5) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def _torn(line: bytes, error: Exception) -> bool:
    """Whether a line is the beginning of a record: it would be right if it went on."""
    ended = isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())
    return line.startswith(b"{") and (ended or not line.rstrip().endswith(b"}"))


def _parse(
    path: Path, lines: Iterable[bytes], kind: type[Record], damaged: list[int]
) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not _torn(line, error):
                damaged.append(number)
            continue
        version = cast(dict[str, Any], raw).get("schema_version") if isinstance(raw, dict) else None
        if version not in READABLE:
            raise ResultsError(
                f"{path}:{number}: schema version {version}, this program reads"
                f" {' and '.join(map(str, READABLE))}: run it with the version of miras that wrote"
                " it"
            )
        try:
            yield kind.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ResultsError(f"{path}:{number}: {place}: {first['msg']}") from None
