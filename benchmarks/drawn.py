"""Figures of what was measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from miras.benchmarks.records import Record
from miras.benchmarks.tables import Ratio, over, per_token, ratios, times
from miras.plots.style import FOUND, KNOWN, QUIET, End, canvas, name_ends, readable, save, strokes


def side_by_side(records: Sequence[Record], folder: Path, name: str) -> list[Path]:
    """A row for each comparison: a ring for forward, a dot for forward and backward."""
    rows = sorted(ratios(records), key=lambda row: row.definition)
    if not rows:
        return []
    with canvas(1.3 + 0.21 * len(rows)) as (figure, axes):
        _compare(axes, rows)
        return list(save(figure, folder, name))


def lengths(records: Sequence[Record], folder: Path, name: str) -> list[Path]:
    """Two figures: time per token, and memory over inputs and chunk states, against the length."""
    measured = [record for record in records if "skipped" not in record]
    if not measured:
        return []
    time = ("Time per token", "µs, forward and backward", _microseconds)
    memory = ("Memory of a training step", "times inputs and chunk states", over)
    paths: list[Path] = []
    for suffix, (title, unit, number) in {"time": time, "memory": memory}.items():
        with canvas(max(3.3, 1.0 + 0.18 * len({r["memory"] for r in measured}))) as (figure, axes):
            _lines(axes, measured, number)
            axes.set_title(title)
            axes.set_ylabel(unit)
            paths += save(figure, folder, f"{name}-{suffix}")
    return paths


def _plainly(number: float, place: float) -> str:
    return f"{number:g}"


def _microseconds(record: Record) -> float:
    return 1e6 * per_token(record)


def _compare(axes: Axes, rows: Sequence[Ratio]) -> None:
    for place, row in enumerate(rows):
        colour = QUIET if row.definition else KNOWN if row.both >= 1 else FOUND
        axes.plot([1, row.both], [place, place], color=colour, lw=1, alpha=0.5)
        axes.plot(row.forward, place, "o", color=colour, mfc="white")
        axes.plot(row.both, place, "o", color=colour)
        axes.annotate(
            times(row.both), (max(row.both, row.forward, 1), place), (7, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=readable(colour),
        )  # fmt: skip
    axes.axvline(1, color=QUIET, lw=1, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_plainly))
    layered = [" (layer)" if "layer" in row.ours else "" for row in rows]
    names = [f"{r.case}: {r.against}{more}" for r, more in zip(rows, layered, strict=True)]
    axes.set_yticks(range(len(rows)), names, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.grid(axis="y", visible=False)
    axes.set_title("Their time over ours", loc="right")
    axes.set_xlabel("above 1 ours is faster")
    marks = [
        Line2D([], [], marker="o", ls="", color=KNOWN, mfc="white", label="forward"),
        Line2D([], [], marker="o", ls="", color=KNOWN, label="and backward"),
    ]
    if figure := axes.get_figure(root=True):
        figure.legend(handles=marks, loc="outside lower right", ncols=2)


def _lines(axes: Axes, records: Sequence[Record], number: Callable[[Record], float]) -> None:
    names = list(dict.fromkeys(record["memory"] for record in records))
    ends: list[End] = []
    for name, stroke in zip(names, strokes(["baseline"] * len(names)), strict=True):
        own = sorted((r for r in records if r["memory"] == name), key=lambda r: r["tokens"])
        x, y = [r["tokens"] for r in own], [number(r) for r in own]
        axes.plot(x, y, color=stroke.colour, ls=stroke.dashes, lw=stroke.width, marker=".")
        ends.append(End(x[-1], y[-1], name, stroke.colour))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({record["tokens"] for record in records})
    axes.set_xticks(lengths, [f"{length / 1024:g}k" for length in lengths])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_plainly))
    axes.set_xlabel("tokens")
    name_ends(axes, ends)
