"""The figures by name: one file of this folder with `table` and `draw` is one figure."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .reading import Records
from .study import records
from .style import HEIGHT, canvas, save


def _same_height(_: list[Any]) -> float:
    return HEIGHT


class Kind(NamedTuple):
    """What a figure file gives.

    `table(records)` makes typed rows; the field `panel` of a row says on which panel it belongs.
    `draw(axes, rows)` draws the rows of one panel. `height(rows)` is the height of that panel in
    inches; a file without it gets the usual height.
    """

    name: str
    summary: str
    table: Callable[[Records], list[Any]]
    draw: Callable[[Axes, list[Any]], None]
    height: Callable[[list[Any]], float]


class Panel(NamedTuple):
    """One drawn panel; `name` is the name of its files."""

    name: str
    title: str
    figure: Figure
    rows: list[Any]


@cache
def figures() -> dict[str, Kind]:
    """All figures, by the name of their file."""
    found: dict[str, Kind] = {}
    for file in pkgutil.iter_modules([str(Path(__file__).parent)]):
        parts = vars(importlib.import_module(f"{__package__}.{file.name}"))
        if {"table", "draw"} <= parts.keys():
            summary = str(parts["__doc__"] or "").split("\n\n")[0].replace("\n", " ")
            height = parts.get("height", _same_height)
            found[file.name] = Kind(file.name, summary, parts["table"], parts["draw"], height)
    return found


def panels(name: str, records: Records) -> list[Panel]:
    """Draw a figure: one panel for each objective or task, none where there is nothing to show."""
    known = figures()
    if name not in known:
        raise ValueError(f"there is no figure {name!r}: choose one of {', '.join(known)}")
    kind = known[name]
    groups: dict[str, list[Any]] = {}
    for row in kind.table(records):
        groups.setdefault(row.panel, []).append(row)
    drawn: list[Panel] = []
    for title, rows in groups.items():
        with canvas(kind.height(rows)) as (figure, axes):
            kind.draw(axes, rows)
        file = name if len(groups) == 1 else f"{name}-{_slug(title)}"
        drawn.append(Panel(file, title, figure, rows))
    return drawn


def plot(name: str, records: Records, folder: Path) -> list[Path]:
    """Draw a figure and write every panel as SVG and PNG; returns the files."""
    return [
        file for panel in panels(name, records) for file in save(panel.figure, folder, panel.name)
    ]


def draw(name: str, run: Path) -> list[Path]:
    """Draw a figure of a run into its folder `figures`; returns the files.

    A run is the folder of a study or comparison, or one of its files of JSON lines. Raises
    ValueError if there is no such run or figure, or if the run has nothing for the figure to show.
    """
    folder = run if run.is_dir() else run.parent
    files = plot(name, records(run), folder / "figures")
    if not files:
        raise ValueError(f"{run} has nothing yet that the figure {name} could show")
    return files


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
