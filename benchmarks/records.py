"""Lines of JSON: what was measured, and where."""

import json
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from miras import __version__

Record = dict[str, Any]

PACKAGES = ("fla-core", "transformers", "titans-pytorch", "mambapy", "triton")
"""Packages of peers whose versions are kept with what was measured."""


def machine(device: str = "cpu") -> Record:
    """What the numbers depend on beside the programs."""
    versions: dict[str, str] = {"miras": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor() if device == "cpu" else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": versions,
    }


def processor() -> str:
    """The name that the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(path: Path, records: Iterable[Record]) -> None:
    """All lines anew, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_suffix(".part")
    waiting.write_text("".join(line(record) + "\n" for record in records), encoding="utf-8")
    waiting.replace(path)


def append(path: Path, record: Record) -> None:
    """One line more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line(record) + "\n")


def read(path: Path) -> list[Record]:
    """The lines of a file, none if there is no file; a last line that was cut off is left out."""
    found: list[Record] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return found


def line(record: Record) -> str:
    """A record as a line."""
    return json.dumps(record, ensure_ascii=False)
