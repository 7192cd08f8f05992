"""Norm of the state: how much a memory has piled up after so many tokens without a pause."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from miras.result import Seen

from ..style import End, name_ends, room, strokes
from .seen import of


class Row(NamedTuple):
    """One memory after so many tokens; a norm that was not finite is left out."""

    panel: str
    name: str
    tokens: float
    norm: float


def table(seen: Sequence[Seen]) -> list[Row]:
    """The points of every look at norms; one panel for each task."""
    rows: list[Row] = []
    for look in of(seen, "norms"):
        name = look.name + ("" if look.trained else " (as drawn)")
        pairs = zip(look.series["tokens"], look.series["norm"], strict=True)
        rows += [Row(look.task, name, t, x) for t, x in pairs if t is not None and x is not None]
    return rows


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return room(len({row.name for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """A line for each memory, both axes logarithmic."""
    names = list(dict.fromkeys(row.name for row in rows))
    ends: list[End] = []
    for name, stroke in zip(names, strokes(["baseline"] * len(names)), strict=True):
        line = [row for row in rows if row.name == name and row.norm > 0]
        places, norms = [row.tokens for row in line], [row.norm for row in line]
        axes.plot(places, norms, color=stroke.colour, ls=stroke.dashes, lw=stroke.width + 0.3)
        ends.append(End(places[-1], norms[-1], name, stroke.colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.minorticks_off()
    axes.set_title(f"Norm of the state over {max(row.tokens for row in rows):,.0f} tokens")
    axes.set_xlabel(f"tokens of {rows[0].panel} read without a pause")
    axes.set_ylabel("norm of what one head stores")
    name_ends(axes, ends)


def _thousands(number: float, _: int = 0) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"
