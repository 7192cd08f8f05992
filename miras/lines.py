"""Files of records, one JSON line each: a killed writer loses at most the line it was writing."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

SCHEMA_VERSION = 2
READABLE = (1, 2)
"""Version 1 lacks the costs of a result; its scores have no learning curve in them."""


class ResultsError(ValueError):
    """What was asked of results cannot be given; its sentence says what to do about it."""


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
    """All whole lines of a file; lines that are no JSON, torn by killed processes, are skipped.

    Raises ResultsError with file and line if any other line is not a record of this kind.
    """
    if not path.exists():
        return []
    return list(_parse(path, path.read_bytes().split(b"\n"), kind))


def _parse(path: Path, lines: Iterable[bytes], kind: type[Record]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            continue  # torn by a killed writer: its work is done again, nothing else is lost
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
