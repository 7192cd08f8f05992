"""The figures by name: a file of this folder with `table` and `draw` is one figure.

So are those of the folders `confirmation` and `look`.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from miras.lines import ResultsError
from miras.result import Finding, Seen

from .look.seen import looks
from .reading import Between, Records
from .study import apart, findings, records
from .style import HEIGHT, canvas, save


def _same_height(_: list[Any]) -> float:
    return HEIGHT


class Kind(NamedTuple):
    """What a figure file gives.

    `table` makes typed rows of what its arguments name: `records` of trials, those of `others` (of
    further runs), `findings` of a confirmation, what was `seen` inside memories, and `between`,
    which measures how far memories are from each other. The field `panel` of a row says on which
    panel it belongs. `draw(axes, rows)` draws the rows of one panel. `height(rows)` is the height
    of that panel in inches; a file without it gets the usual height.
    """

    name: str
    summary: str
    takes: tuple[str, ...]
    table: Callable[..., list[Any]]
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
    here = Path(__file__).parent
    for folder in ("", "confirmation", "look"):
        package = f"{__package__}.{folder}".rstrip(".")
        for file in pkgutil.iter_modules([str(here / folder)]):
            parts = vars(importlib.import_module(f"{package}.{file.name}"))
            if {"table", "draw"} <= parts.keys():
                summary = str(parts["__doc__"] or "").split("\n\n")[0].replace("\n", " ")
                height = parts.get("height", _same_height)
                takes = tuple(inspect.signature(parts["table"]).parameters)
                kind = Kind(file.name, summary, takes, parts["table"], parts["draw"], height)
                found[file.name] = kind
    return dict(sorted(found.items()))


def panels(
    name: str,
    records: Records,
    findings: Sequence[Finding] = (),
    between: Between | None = None,
    seen: Sequence[Seen] = (),
    others: Sequence[Records] = (),
) -> list[Panel]:
    """Draw a figure: one panel for each objective or task, none where there is nothing to show."""
    known = figures()
    if name not in known:
        raise ResultsError(f"there is no figure {name!r}: choose one of {', '.join(known)}")
    kind = known[name]
    offered: dict[str, Any] = {"records": records, "findings": findings, "between": between}
    offered |= {"seen": seen, "others": others}
    groups: dict[str, list[Any]] = {}
    for row in kind.table(**{each: offered[each] for each in kind.takes}):
        groups.setdefault(row.panel, []).append(row)
    drawn: list[Panel] = []
    for title, rows in groups.items():
        with canvas(kind.height(rows)) as (figure, axes):
            kind.draw(axes, rows)
        file = name if len(groups) == 1 else f"{name}-{_slug(title)}"
        drawn.append(Panel(file, title, figure, rows))
    return drawn


def plot(
    name: str,
    records: Records,
    folder: Path,
    findings: Sequence[Finding] = (),
    between: Between | None = None,
    seen: Sequence[Seen] = (),
    others: Sequence[Records] = (),
) -> list[Path]:
    """Draw a figure and write every panel as SVG and PNG; returns the files."""
    return [
        file
        for panel in panels(name, records, findings, between, seen, others)
        for file in save(panel.figure, folder, panel.name)
    ]


def draw(
    name: str, run: Path, between: Between | None = None, others: Sequence[Path] = ()
) -> list[Path]:
    """Draw a figure of a run, beside `others` if it can, into its folder `figures`; the files.

    A run is the folder of a study, comparison or look, or one of its files of JSON lines. Raises
    ResultsError if there is no such run or figure, or if the run has nothing for it to show.
    """
    folder = run if run.is_dir() else run.parent
    takes = figures()[name].takes if name in figures() else ()
    if others and takes and "others" not in takes:
        several = [each for each, kind in figures().items() if "others" in kind.takes]
        raise ResultsError(
            f"the figure {name} shows one run: name one folder (several: {', '.join(several)})"
        )
    if "seen" in takes:
        files = plot(name, (), folder / "figures", seen=looks(run))
    else:
        own, *more = apart((run, *others), [records(each) for each in (run, *others)])
        found = findings(folder)
        files = plot(name, own, folder / "figures", found, between, others=more)
    if not files:
        raise ResultsError(f"{run} has nothing yet that the figure {name} could show")
    return files


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
