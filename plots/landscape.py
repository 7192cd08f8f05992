"""The space as a map: memories that differ in little lie close to each other."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from . import reading
from .spots import Spot, name_spots
from .style import FOUND, INK, QUIET, RANDOM, percent, readable

FEWEST = 4
"""Memories that make a map."""

MOST = 300
"""Memories on a map; of more, the known ones and those of the best and latest trials."""

LABELLED = 3
"""New memories that are named: the best ones."""


class Row(NamedTuple):
    """One memory on the map.

    `held` are the shares that x and y hold of what a flat map of any dimension could show. The
    distances are of choices that differ and need not fit into one: the rest is not counted.
    """

    panel: str
    name: str
    origin: str
    new: bool
    labelled: bool
    x: float
    y: float
    score: float | None
    held: tuple[float, float]


def table(records: reading.Records, between: reading.Between | None) -> list[Row]:
    """The different memories of a study in the plane, by classical multidimensional scaling.

    What is scaled are square roots of the numbers of values in which two memories differ: such
    numbers are squares of distances, of points that have a coordinate for each value.

    Source: Torgerson 1952, Gower 1966.
    """
    panel = next(iter(reading.panels(records)), "")
    scores = {record.number: value for record, value in reading.scored(records, panel)}
    shown = _shown(records, scores)
    if between is None or len(shown) < FEWEST:
        return []
    squares = np.array(between(shown), dtype=np.float64)
    readable = [place for place in range(len(shown)) if not np.isnan(squares[place]).all()]
    if len(readable) < FEWEST:
        return []
    points, held = scaled(squares[np.ix_(readable, readable)])
    candidates = (shown[place] for place in readable if reading.is_new(shown[place]))
    numbers = (each.number for each in candidates if each.number in scores)
    best = sorted(numbers, key=lambda number: (-scores[number], number))[:LABELLED]
    return [
        Row(
            panel,
            f"#{record.number}" if reading.is_candidate(record) else reading.label(record),
            record.origin,
            reading.is_new(record),
            record.origin == "baseline" or record.number in best,
            float(x),
            float(y),
            scores.get(record.number),
            held,
        )
        for record, (x, y) in zip((shown[place] for place in readable), points, strict=True)
    ]


def _shown(records: reading.Records, scores: Mapping[int, float]) -> list[reading.TrialRecord]:
    """One record for each memory: the first, or the known memory itself."""
    first: dict[str, reading.TrialRecord] = {}
    for record in sorted(records, key=lambda each: (each.origin != "baseline", each.number)):
        if record.memory and record.origin != "null":
            first.setdefault(record.key, record)

    def rank(record: reading.TrialRecord) -> tuple[bool, float, int]:
        score = scores.get(record.number, -math.inf)
        return record.origin != "baseline", -score, -record.number

    ranked = sorted(first.values(), key=rank)
    return sorted(ranked[:MOST], key=lambda record: record.number)


def scaled(squares: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Points [memories, 2] whose distances squared are nearest to these, and what each axis holds.

    Source: classical scaling (Torgerson 1952). Negative eigenvalues, of distances that fit into no
    flat space, are left out of the whole.

    Signs are such that the point that is farthest out on an axis is on its positive side.
    """
    count = len(squares)
    centre = np.eye(count) - 1 / count
    sizes, directions = np.linalg.eigh(-0.5 * centre @ squares @ centre)
    sizes, directions = np.clip(sizes[::-1], 0, None), directions[:, ::-1]
    points = directions[:, :2] * np.sqrt(sizes[:2])
    farthest = np.abs(points).argmax(axis=0)
    points = points * np.where(points[farthest, [0, 1]] < 0, -1, 1)
    total = max(float(sizes.sum()), 1e-12)
    return points, (float(sizes[0]) / total, float(sizes[1]) / total)


def height(rows: list[Row]) -> float:
    """Inches: as tall as the map is, which has one scale for both directions."""
    wide, tall = (
        max(values) - min(values) for values in zip(*((r.x, r.y) for r in rows), strict=True)
    )
    return min(6.0, max(3.6, 1.6 + 2.9 * (tall or 1.0) / (wide or 1.0)))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: colour is the score, squares are known memories, crosses failed."""
    scores = [row.score for row in rows if row.score is not None]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    scale = Normalize(low, max(high, low + 0.01))
    colours = ScalarMappable(scale, "viridis")
    failed = [row for row in rows if row.score is None]
    axes.scatter(
        [r.x for r in failed], [r.y for r in failed], s=22, c=QUIET, marker="x", lw=1, zorder=2
    )
    for row in rows:
        if row.score is not None:
            colour = colours.cmap(scale(row.score))
            known = row.origin == "baseline"
            axes.plot(
                row.x,
                row.y,
                "s" if known else "o",
                color=colour if known or row.new else "white",
                markeredgecolor=INK if known else "white" if row.new else colour,
                markeredgewidth=0.5 if row.new else 1.0,
                markersize=6.5 if known else 6,
                zorder=4 if known else 3,
            )
    figure = axes.get_figure(root=True)
    if figure and scores:
        bar = figure.colorbar(colours, ax=axes, label="score (0 = floor, 1 = ceiling)", shrink=0.7)
        if bar.solids is not None:
            bar.solids.set_rasterized(False)  # no picture inside a drawing
            bar.solids.set_edgecolor("face")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.grid(visible=False)
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    axes.tick_params(length=0)
    axes.set_title(f"Where the memories lie: {rows[0].panel}")
    axes.set_xlabel(f"first direction ({percent(rows[0].held[0])} of the differences)")
    axes.set_ylabel(f"second direction ({percent(rows[0].held[1])})")
    marks: list[Line2D] = []
    if any(row.origin == "baseline" for row in rows):
        marks.append(Line2D([], [], marker="s", ls="", mfc="white", mec=INK, label="known memory"))
    if any(row.new for row in rows):
        marks.append(Line2D([], [], marker="o", ls="", color=QUIET, label="new"))
    if any(r.origin != "baseline" and not r.new for r in rows):
        twin = Line2D([], [], marker="o", ls="", mfc="white", mec=QUIET, label="equals a known one")
        marks.append(twin)
    if failed:
        marks.append(Line2D([], [], marker="x", ls="", color=QUIET, label="without a score"))
    colours_of = {"baseline": INK, "search": FOUND, "random": RANDOM}
    marks += names_of(rows, colours_of)
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=3, columnspacing=1)
    if figure:
        # Each drawing would change the limits anew: names would not stay at their points.
        figure.draw_without_rendering()
        axes.set_aspect("auto")
        axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    spots = [Spot(r.x, r.y, r.name, colours_of[r.origin], r.labelled) for r in rows]
    name_spots(axes, spots)


def names_of(rows: list[Row], colours: Mapping[str, str]) -> list[Line2D]:
    """What the colours of names mean, of those that are written; nothing where there is one."""
    words = {"baseline": "known", "search": "proposed by the search", "random": "drawn by chance"}
    written = [each for each in words if any(r.labelled and r.origin == each for r in rows)]
    if len(written) < 2:
        return []
    word = TextPath((0, 0), "name", size=7.5)
    box = word.get_extents()
    shape = word.transformed(Affine2D().translate(-box.width / 2, -box.height / 2))
    look: dict[str, Any] = {"marker": shape, "ls": "", "ms": box.width, "mew": 0}
    return [
        Line2D([], [], color=readable(colours[each]), label=words[each], **look) for each in written
    ]
