"""The space slot by slot: mean score, best score and number of memories of each pair of choices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from . import reading
from .slots import AXES, cell_of, levels, with_defaults

MOST = 6
"""Pairs of slots that are shown."""

WIDEST, TALLEST = 6, 10
"""Choices of a slot that have columns or rows of their own."""

OTHERS = "all others"


class Row(NamedTuple):
    """One cell: two choices (the `panel` names their slots), and the memories that have both.

    `mean` and `best` are over the `scored` ones of the memories that were `tried`.
    """

    panel: str
    objective: str
    down: str
    across: str
    tried: int
    scored: int
    mean: float | None
    best: float | None


def table(records: reading.Records) -> list[Row]:
    """Pairs of axes that differ in the study: of one memory, or one axis of two of its cells.

    Of many pairs those whose cells explain most of the score, corrected for the number of cells;
    pairs with fewer than two memories to a cell come last.
    """
    objective = next(iter(reading.panels(records)), "")
    scores = {record.number: value for record, value in reading.scored(records, objective)}
    tried = [r for r in records if r.origin != "null" and r.memory]
    drawn = with_defaults(tried)
    axes = sorted(
        {slot for chosen in drawn.values() for slot in chosen if _axis(slot) in AXES},
        key=lambda slot: (cell_of(slot), AXES.index(_axis(slot))),
    )
    found: list[tuple[tuple[bool, float], list[Row]]] = []
    for pair in combinations(axes, 2):
        if cell_of(pair[0]) != cell_of(pair[1]) and _axis(pair[0]) != _axis(pair[1]):
            continue
        owners = [record for record in tried if all(slot in drawn[record.number] for slot in pair)]
        one, other = (levels([drawn[record.number][slot] for record in owners]) for slot in pair)
        if min(len(set(one)), len(set(other))) > 1:
            rows = _pair(objective, pair, one, other, owners, scores)
            if any(row.scored for row in rows):
                found.append((_worth(rows, [scores.get(each.number) for each in owners]), rows))
    found.sort(key=lambda each: each[0], reverse=True)
    return [row for _, rows in found[:MOST] for row in rows]


def _axis(slot: str) -> str:
    return slot.removeprefix(cell_of(slot))


def _worth(rows: Sequence[Row], scores: Sequence[float | None]) -> tuple[bool, float]:
    """Whether cells have two memories on average, and epsilon squared of the scores over cells."""
    values = np.array([score for score in scores if score is not None])
    known = [(row.scored, row.mean) for row in rows if row.mean is not None]
    total = float(((values - values.mean()) ** 2).sum())
    left = len(values) - len(known)
    if left < 1 or total <= 0:
        return False, 0.0
    between = sum(count * (mean - values.mean()) ** 2 for count, mean in known)
    share = 1 - (total - between) / left / (total / (len(values) - 1))
    return len(values) >= 2 * len(known), float(share)


def _pair(
    objective: str,
    pair: tuple[str, str],
    one: Sequence[str],
    other: Sequence[str],
    owners: reading.Records,
    values: Mapping[int, float],
) -> list[Row]:
    """The slot with more choices goes down, where there is room."""
    if len(set(one)) < len(set(other)):
        pair, one, other = (pair[1], pair[0]), other, one
    down, across = _fewer(one, TALLEST), _fewer(other, WIDEST)
    scores: dict[tuple[str, str], list[float | None]] = {}
    for record, *cell in zip(owners, down, across, strict=True):
        scores.setdefault((cell[0], cell[1]), []).append(values.get(record.number))
    rows: list[Row] = []
    for cell, found in sorted(scores.items(), key=lambda each: _places(each[0])):
        known = [score for score in found if score is not None]
        mean, best = (fmean(known), max(known)) if known else (None, None)
        panel = f"{pair[0]} × {pair[1]}"
        rows.append(Row(panel, objective, *cell, len(found), len(known), mean, best))
    return rows


def _fewer(names: Sequence[str], most: int) -> list[str]:
    """The most frequent choices by name, the rest together."""
    counts = Counter(names)
    if len(counts) <= most:
        return list(names)
    kept = {name for name, _ in counts.most_common(most - 1)}
    return [name if name in kept else OTHERS for name in names]


def _places(cell: Sequence[str]) -> list[tuple[bool, str]]:
    return [(name == OTHERS, name) for name in cell]


def height(rows: list[Row]) -> float:
    """Inches: a line of cells for each choice."""
    return 1.4 + 0.55 * len({row.down for row in rows})


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: dark cells are good, hatched ones have no score, empty ones nobody tried."""
    down = sorted({row.down for row in rows}, key=lambda name: _places([name]))
    across = sorted({row.across for row in rows}, key=lambda name: _places([name]))
    means = np.full((len(down), len(across)), np.nan)
    for row in rows:
        if row.mean is not None:
            means[down.index(row.down), across.index(row.across)] = row.mean
    known = means[~np.isnan(means)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    high = max(high, low + 0.01)
    edges = [np.arange(len(names) + 1) - 0.5 for names in (across, down)]
    pale = low - 0.15 * (high - low)
    axes.pcolormesh(*edges, means, cmap="Blues", vmin=pale, vmax=high, edgecolors="white", lw=2)
    for row in rows:
        x, y = across.index(row.across), down.index(row.down)
        if row.mean is None or row.best is None:
            box = Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="////", ec="#CCCCCC", lw=0)
            axes.add_patch(box)
            axes.text(x, y, f"0/{row.tried}", ha="center", va="center", fontsize=7)
            continue
        bright = (row.mean - low) / (high - low) > 0.6
        colour = "white" if bright else "#222222"
        best = f"best {row.best:.2f}\n" if row.scored > 1 else ""
        for text, up, size, weight in (
            (f"{row.mean:.2f}", 0.24, 9.5, "bold"),
            (f"{best}{row.scored}/{row.tried}", -0.16, 7.0 if len(across) < 5 else 6.0, "normal"),
        ):
            axes.text(
                x, y - up, text, color=colour, ha="center", va="center",
                fontsize=size, fontweight=weight, linespacing=1.1,
            )  # fmt: skip
    names = [reading.shortened(name, 16) for name in across]
    slanted = sum(map(len, names)) > 28
    axes.set_xticks(range(len(across)), names)
    if slanted:
        axes.tick_params(axis="x", rotation=20)
    axes.set_yticks(range(len(down)), [reading.shortened(name, 16) for name in down])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylim(len(down) - 0.5, -0.5)
    slots = rows[0].panel.split(" × ")
    axes.set_ylabel(slots[0])
    axes.set_xlabel(
        f"{slots[1]}\ncolour: mean score ({rows[0].objective})\n3/4: of 4 tried 3 have a score"
    )
    cell = cell_of(slots[0])
    within = cell and cell == cell_of(slots[1])
    title = f"{cell.rstrip('.')}: {_axis(slots[0])} × {_axis(slots[1])}" if within else None
    axes.set_title(title or (rows[0].panel if cell else f"Mean score: {rows[0].panel}"))
