"""A study folder as it is on disk: records, manifest and winner; every key may be missing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from miras.lines import ResultsError, read
from miras.result import Finding, Result, TrialRecord

from . import reading


@dataclass(frozen=True)
class Study:
    """What a report is written from."""

    folder: Path
    name: str
    manifest: Mapping[str, Any]
    records: Sequence[TrialRecord]
    winner: str
    findings: Sequence[Finding] = ()

    @property
    def finished(self) -> bool:
        """Whether the search said that it is done."""
        return bool(self.manifest.get("finished"))

    @property
    def planned(self) -> int | None:
        """Trials in the budget, where it is a number of trials."""
        budget = self.manifest.get("budget")
        if isinstance(budget, dict):
            budget = cast("dict[str, Any]", budget).get("trials")
        return budget if isinstance(budget, int) else None

    @property
    def command(self) -> str:
        """What a person types to run it again."""
        return str(self.manifest.get("command") or f"miras search studies/{self.name}.yaml")

    @property
    def objectives(self) -> list[str]:
        """Names of the objectives, from the records or, before the first one, the manifest."""
        return reading.objectives(self.records) or _names(self.manifest.get("objectives"))


def load(folder: Path) -> Study:
    """Read a study folder. Raises ResultsError with what to do if it is none or is damaged."""
    if not folder.is_dir():
        raise ResultsError(f"there is no study in {folder}: run `miras search` first")
    manifest = _manifest(folder / "study.json")
    found = read(folder / "trials.jsonl", TrialRecord)
    by_number = {record.number: reading.completed(record) for record in found}
    winner = folder / "best.yaml"
    return Study(
        folder=folder,
        name=str(manifest.get("name") or folder.resolve().name),
        manifest=manifest,
        records=[by_number[number] for number in sorted(by_number)],
        winner=winner.read_text(encoding="utf-8") if winner.exists() else "",
        findings=findings(folder),
    )


def records(path: Path) -> list[TrialRecord]:
    """Records to plot: of a study folder, or of a file of trials or of single results."""
    file = path
    if path.is_dir():
        file = path / "trials.jsonl"
        if not file.exists():
            file = path / "results.jsonl"
    if not file.is_file():
        raise ResultsError(
            f"{path} holds neither trials.jsonl nor results.jsonl: run a study first"
        )
    with file.open(encoding="utf-8") as lines:
        single = '"objectives"' not in next(lines, '"objectives"')
    if single:
        return reading.grouped(read(file, Result))
    return [reading.completed(record) for record in read(file, TrialRecord)]


def apart(runs: Sequence[Path], found: Sequence[reading.Records]) -> list[reading.Records]:
    """The records of several runs; studies of one name are told apart by their folders."""
    names = [each[0].study if each else "" for each in found]
    places = [run.resolve() if run.is_dir() else run.resolve().parent for run in runs]
    told: list[reading.Records] = []
    for name, place, records in zip(names, places, found, strict=True):
        others = {other for other, same in zip(places, names, strict=True) if same == name} - {
            place
        }
        if not others:
            told.append(records)
            continue
        length = next(
            n
            for n in range(1, len(place.parts) + 1)
            if not any(other.parts[-n:] == place.parts[-n:] for other in others)
        )
        folder = Path(*place.parts[-length:]).as_posix()
        study = f"{name} in {folder}" if name else folder
        told.append([record.model_copy(update={"study": study}) for record in records])
    return told


def findings(folder: Path) -> list[Finding]:
    """What a confirmation found, of the folder of its study or its own; none without one."""
    own = folder / "findings.jsonl"
    return read(own if own.exists() else folder / "confirm" / own.name, Finding)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path} is not JSON ({error}): restore it or delete it") from None
    if not isinstance(found, dict):
        raise ResultsError(f"{path} is not a JSON object: restore it or delete it")
    return cast("dict[str, Any]", found)


def _names(value: Any) -> list[str]:
    """Names in a manifest: a list of names, of objects with a name, or an object by name."""
    if isinstance(value, dict):
        return [str(name) for name in cast("dict[str, Any]", value)]
    if not isinstance(value, list):
        return []
    names: list[str] = []
    for item in cast("list[Any]", value):
        entry = cast("dict[str, Any]", item).get("name", "") if isinstance(item, dict) else item
        names.append(str(entry))
    return names


def words(value: Any) -> str:
    """A value of the manifest as a person reads it."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return ", ".join(f"{key} {_inner(part)}" for key, part in pairs) or "none"
    if isinstance(value, list):
        return ", ".join(_inner(part) for part in cast("list[Any]", value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    return f"({words(value)})" if isinstance(value, dict | list) else words(value)


def moment(value: Any) -> str:
    """A time of the manifest: seconds since 1970 become a date, text stays as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"
    return words(value)


def duration(seconds: float | int) -> str:
    """95 as 1 min 35 s."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
