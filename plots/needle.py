"""Needle heat map: accuracy by where in the haystack the needle lies, and how long that is."""

import re
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.axes import Axes

from miras.result import Result

from . import reading
from .setups import mean, setups
from .style import INK

DEPTH = re.compile(r"accuracy/depth=(?P<depth>[\d.]+)/(?P<load>[^,]+)(,L=(?P<length>\d+))?")
COLOURS = "cividis"


class Row(NamedTuple):
    """Needles at one depth of haystacks of one length. `panel` is the memory.

    `depth` is the middle of a part of the haystack, 0 its beginning.
    """

    panel: str
    number: int
    load: str
    depth: float
    length: int
    trained: bool
    accuracy: float
    seeds: tuple[float, ...]
    floor: float


def table(records: reading.Records) -> list[Row]:
    """Every depth of every length that all seeds have, memory by memory."""
    rows: list[Row] = []
    for setup in setups(records):
        for member in setup.members:
            cells = [_cells(run) for run in member.runs]
            shared = set(cells[0]).intersection(*cells[1:])
            for load, length, depth in sorted(shared):
                trained, floor, _ = cells[0][load, length, depth]
                over = mean([each[load, length, depth][2] for each in cells])
                name = f"{reading.label(member.record)}, {setup.title}"
                if len({each for each, *_ in shared}) > 1:
                    name += f", {load}"
                cell = (depth, length, trained, over.mean, over.seeds, floor)
                rows.append(Row(name, member.record.number, load, *cell))
    return rows


def _cells(run: Result) -> dict[tuple[str, int, float], tuple[bool, float, float]]:
    """By load, length and depth: whether trained, floor and accuracy."""
    task = cast("dict[str, Any]", run.settings.get("task") or {})
    lengths = {float(load): int(length) for length, load in task.get("rungs") or ()}
    found: dict[tuple[str, int, float], tuple[bool, float, float]] = {}
    for metric, value in run.metrics.items():
        match = DEPTH.fullmatch(metric)
        if match is None:
            continue
        load, longer = match["load"], match["length"]
        length = int(longer) if longer else lengths[float(load.partition("=")[2])]
        label = load + (f",L={longer}" if longer else "")
        floor = run.metrics.get(f"floor/{label}", 0.0)
        found[load, length, float(match["depth"])] = (longer is None, floor, value)
    return found


def height(rows: list[Row]) -> float:
    """Inches: a depth is as high as its number."""
    return 1.5 + 0.4 * len({row.depth for row in rows})


def draw(axes: Axes, rows: list[Row]) -> None:
    """Depth down, length to the right; every cell has its number."""
    depths, lengths = sorted({row.depth for row in rows}), sorted({row.length for row in rows})
    grid = np.full((len(depths), len(lengths)), np.nan)
    for row in rows:
        grid[depths.index(row.depth), lengths.index(row.length)] = row.accuracy
    image = axes.imshow(grid, aspect="auto", cmap=COLOURS, vmin=0.0, vmax=1.0)
    for row in rows:
        axes.annotate(
            f"{row.accuracy:.2f}", (lengths.index(row.length), depths.index(row.depth)),
            ha="center", va="center", fontsize=8.5,
            color="white" if row.accuracy < 0.55 else INK,
        )  # fmt: skip
    half = (depths[1] - depths[0]) / 2 if len(depths) > 1 else 0.5
    parts = [f"{100 * (d - half):.0f} to {100 * (d + half):.0f} %" for d in depths]
    axes.set_yticks(range(len(depths)), parts)
    trained = {row.length for row in rows if row.trained}
    names = [f"{length}\ntrained" if length in trained else f"{length}" for length in lengths]
    axes.set_xticks(range(len(lengths)), names)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_title(rows[0].panel, fontsize=9.5)
    seeds = max(len(row.seeds) for row in rows)
    floors = sorted({f"{row.floor:.2f}" for row in rows})
    floor = f"; floor {' to '.join(dict.fromkeys((floors[0], floors[-1])))}"
    floor += f"; {seeds} seeds" if seeds > 1 else ""
    axes.set_xlabel("length of the haystack (tokens)" + floor)
    axes.set_ylabel("depth of the needle")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=25)
    bar.set_label("accuracy")
    cast(Any, bar.outline).set_visible(False)
