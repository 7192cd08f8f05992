"""Which two choices of the grammar decide a score together, beyond what each of them does alone."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes

from . import importance, reading
from .importance import FEWEST, Numbers, Row, beside_chance, best, dots, shuffled
from .slots import AXES, LEARNING_RATE, levels, with_defaults

MOST = 12
"""Pairs that are shown; those that are left out explain less."""


def table(records: reading.Records) -> list[Row]:
    """Every pair of slots in which enough trained memories differ, most important first.

    Pairs are of the four axes and the learning rate: of all settings there would be hundreds, and
    some would look important by chance. `explained` is the share of the variance of the score that
    a pair of choices explains beyond the sum of an effect of each, corrected for the number of
    cells (epsilon squared of the interaction):

        (SS_both - SS_sum - df s²) / SS_total,   s² = SS_within cells / (n - cells)

    `low`, `high` and `probability` are from shuffled residuals of the sum of effects (Freedman and
    Lane 1983): so what each choice does alone is no interaction.
    """
    drawn = with_defaults(records)
    slots = sorted({slot for chosen in drawn.values() for slot in chosen if _is_axis(slot)})
    rows: list[Row] = []
    for panel in reading.panels(records):
        found = reading.scored([r for r in records if r.origin != "null"], panel)
        judged: list[Row] = []
        for pair in combinations(slots, 2):
            owners = [
                (drawn[record.number], value)
                for record, value in found
                if all(slot in drawn[record.number] for slot in pair)
            ]
            names = [levels([chosen[slot] for chosen, _ in owners]) for slot in pair]
            row = judge(panel, pair, names, [value for _, value in owners])
            judged += [row] if row else []
        rows += sorted(judged, key=lambda row: -row.explained)[:MOST]
    return rows


def _is_axis(slot: str) -> bool:
    return slot == LEARNING_RATE or slot.rpartition(".")[2] in AXES


def judge(
    panel: str, pair: Sequence[str], names: Sequence[Sequence[str]], scores: Sequence[float]
) -> Row | None:
    """One pair; None if there are too few memories, or no two choices that can be told apart."""
    values = np.array(scores, dtype=np.float64)
    cells = list(zip(*names, strict=True))
    count, kinds = len(scores), len(set(cells))
    if count < FEWEST or kinds > count // 2 or np.ptp(values) == 0:
        return None
    one, other, both = (basis(members(each)) for each in (names[0], names[1], cells))
    alone = basis(np.concatenate([members(names[0]), members(names[1])], axis=1))
    more = both.shape[1] - alone.shape[1]
    if more < 1 or min(one.shape[1], other.shape[1]) < 2:
        return None
    total = float(((values - values.mean()) ** 2).sum())
    fitted = alone @ (alone.T @ values)
    share = float(_beyond(values[None] - fitted, alone, both)[0]) / total
    chance = _beyond(shuffled(values - fitted), alone, both) / total
    low, high, probability = beside_chance(share, chance)
    return Row(
        panel=panel,
        slot=" × ".join(pair),
        choices=kinds,
        memories=count,
        explained=share,
        low=low,
        high=high,
        probability=probability,
        best=best([" × ".join(cell) for cell in cells], scores),
    )


def members(names: Sequence[object]) -> Numbers:
    """Membership [memories, choices], 0 or 1."""
    kinds = sorted(set(names), key=str)
    return np.array([[name == kind for kind in kinds] for name in names], dtype=np.float64)


def basis(member: Numbers) -> Numbers:
    """An orthonormal basis [memories, dimensions] of what sums of effects can say."""
    left, sizes, _ = np.linalg.svd(member, full_matrices=False)
    return left[:, sizes > 1e-9 * sizes[0]]


def _beyond(scores: Numbers, alone: Numbers, both: Numbers) -> Numbers:
    """What cells explain beyond sums of effects, less what chance gives, of rows of scores."""
    total = (scores**2).sum(axis=1)
    sums, cells = (((scores @ each) ** 2).sum(axis=1) for each in (alone, both))
    noise = (total - cells) / (scores.shape[1] - both.shape[1])
    return cells - sums - (both.shape[1] - alone.shape[1]) * noise


def height(rows: list[Row]) -> float:
    """Inches: one line for each pair."""
    return importance.height(rows)


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a dot for each pair on a grey bar of what chance gives."""
    dots(axes, rows, "cells", "residuals")
    axes.set_title(f"Pairs: {rows[0].panel}")
    axes.set_xlabel("share of the variance explained\nbeyond the sum of both")
