"""Which choice of the grammar decides a score, and how much of that chance alone would show."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from . import reading
from .slots import cell_of, levels, with_defaults
from .style import FOUND, QUIET, readable

SHUFFLES = 2000
FEWEST = 8
"""Memories below which a share of variance says nothing."""

APART = 3
"""Memories that must have another choice than the most frequent one."""

MOST = 12
"""Slots that are shown; those that are left out explain less."""

Numbers = NDArray[np.float64]


class Row(NamedTuple):
    """One slot on one objective (`panel`).

    `explained` is the share of the variance of the score that the choice in the slot explains,
    corrected for the number of choices (epsilon squared, Kelley 1935):

        1 - (SS_within / (n - k)) / (SS_total / (n - 1)),    n memories, k choices

    About 0 where the choice says nothing (negative by chance), 1 where it says all. `low` and
    `high` hold 95 % of what 2000 shufflings of the scores give; `probability` is the share of
    shufflings at least as large (one-sided permutation test).
    """

    panel: str
    slot: str
    choices: int
    memories: int
    explained: float
    low: float
    high: float
    probability: float
    best: str


def table(records: reading.Records) -> list[Row]:
    """Every slot in which enough trained memories differ, most important first.

    A slot that only some parts have (`retention.gate`) is judged among the memories that have it.
    """
    drawn = with_defaults(records)
    slots = sorted({slot for chosen in drawn.values() for slot in chosen})
    rows: list[Row] = []
    for panel in reading.panels(records):
        found = reading.scored([r for r in records if r.origin != "null"], panel)
        judged: list[Row] = []
        for slot in slots:
            owners = [(record, value) for record, value in found if slot in drawn[record.number]]
            names = levels([drawn[record.number][slot] for record, _ in owners])
            row = _judge(panel, slot, names, [value for _, value in owners])
            judged += [row] if row else []
        rows += sorted(judged, key=lambda row: -row.explained)[:MOST]
    return rows


def _judge(panel: str, slot: str, chosen: list[str], scores: list[float]) -> Row | None:
    names = sorted(set(chosen))
    values = np.array(scores, dtype=np.float64)
    if len(scores) < FEWEST or not 2 <= len(names) <= len(scores) // 2 or np.ptp(values) == 0:
        return None
    if len(chosen) - max(map(chosen.count, names)) < APART:
        return None
    member = np.array([[choice == name for name in names] for choice in chosen], dtype=np.float64)
    share = float(explained(values[None], member)[0])
    low, high, probability = beside_chance(share, explained(shuffled(values), member))
    return Row(
        panel=panel,
        slot=slot,
        choices=len(names),
        memories=len(scores),
        explained=share,
        low=low,
        high=high,
        probability=probability,
        best=best(chosen, scores),
    )


def shuffled(values: Numbers) -> Numbers:
    """Scores in 2000 orders that chance has drawn, [orders, memories]."""
    return np.random.default_rng(0).permuted(np.tile(values, (SHUFFLES, 1)), axis=1)


def beside_chance(share: float, chance: Numbers) -> tuple[float, float, float]:
    """What holds 95 % of the shares that chance gives, and how likely it gives one as large."""
    low, high = np.quantile(chance, [0.025, 0.975])
    larger = int((chance >= share - 1e-12).sum())
    return float(low), float(high), (1 + larger) / (1 + len(chance))


def best(chosen: Sequence[str], scores: Sequence[float]) -> str:
    """The choice of the best mean, among those of several memories if there are such."""
    groups: dict[str, list[float]] = {}
    for choice, score in sorted(zip(chosen, scores, strict=True)):
        groups.setdefault(choice, []).append(score)
    several = {choice for choice, found in groups.items() if len(found) > 1} or set(groups)
    return max(sorted(several), key=lambda choice: fmean(groups[choice]))


def explained(scores: Numbers, member: Numbers) -> Numbers:
    """Epsilon squared of each row of scores [rows, memories]; member [memories, choices] is 0/1."""
    count, kinds = member.shape
    centred = scores - scores.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    between = ((centred @ member) ** 2 / member.sum(axis=0)).sum(axis=1)
    return 1 - ((total - between) / (count - kinds)) / (total / (count - 1))


def height(rows: list[Row]) -> float:
    """Inches: one line for each slot."""
    return 1.4 + 0.36 * len(rows)


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a dot for each slot on a grey bar of what chance gives."""
    dots(axes, rows)
    axes.set_title(f"What decides: {rows[0].panel}")
    axes.set_xlabel("share of the variance explained")


def _label(row: Row, counted: str) -> str:
    """Two lines that leave room for the dots: slots of one of several memories have long names."""
    first, *rest = row.slot.split(" × ")
    cell = cell_of(row.slot)
    if cell and rest:
        return f"{first} ×\n{rest[0]} ({row.choices} {counted})"
    if cell:
        return f"{cell.rstrip('.')} ({row.choices} {counted})\n{row.slot.removeprefix(cell)}"
    return f"{row.slot}\n({row.choices} {counted})"


def dots(axes: Axes, rows: list[Row], counted: str = "choices", shuffled: str = "scores") -> None:
    """Shares of variance, each on what chance gives: what was `shuffled` stands in the legend."""
    for place, row in enumerate(rows):
        axes.barh(place, row.high - row.low, 0.55, row.low, color="#DDDDDD", zorder=1)
        clear = row.explained > row.high
        axes.plot(row.explained, place, "o", color=FOUND, mfc=FOUND if clear else "white", zorder=3)
        if clear:
            axes.annotate(
                f"best: {reading.shortened(row.best)}",
                xy=(row.explained, place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=readable(FOUND),
            )
    axes.set_yticks(range(len(rows)), [_label(row, counted) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.axvline(0, color=QUIET, linewidth=0.8, zorder=2)
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    marks = [
        Line2D([], [], marker="o", ls="", color=FOUND, label="beyond chance"),
        Line2D([], [], marker="o", ls="", color=FOUND, mfc="white", label="as chance"),
        Patch(color="#DDDDDD", label=f"95 % of shuffled {shuffled}"),
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=3, columnspacing=1)
