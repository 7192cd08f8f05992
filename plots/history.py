"""The best score so far of each sampler, trial by trial of its own, beside chance and the known."""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from miras.lines import ResultsError

from . import reading
from .style import INK, KNOWN, RANDOM, End, name_ends, room

CHANCE = "random"
KNOWN_BEST = "best known memory"
COLOURS = ("#D55E00", "#CC79A7", "#56B4E9", "#E69F00", "#777777", "#882255")
DASHES = ("-", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
LOW, HIGH = 25, 975
"""Thousandths of all orders that lie below the band, or below its upper end."""


class Row(NamedTuple):
    """The best of the first `tried` trials of one sampler; failed ones are trials too.

    Of chance alone, whose trials might as well have come in another order, `low` and `high` hold
    what 95 % of all orders give.
    """

    panel: str
    study: str
    sampler: str
    tried: int
    best: float | None
    low: float | None
    high: float | None


def table(records: reading.Records, others: Sequence[reading.Records] = ()) -> list[Row]:
    """On the mean of the objectives: every sampler of each study, and the best known memory.

    A study that does not say which sampler thought of a trial has the search as one sampler.
    """
    names = reading.objectives(records)
    for other in others:
        if (found := reading.objectives(other)) != names:
            raise ResultsError(
                f"studies of other objectives cannot be compared: {', '.join(names)}, and"
                f" {', '.join(found)}"
            )
    panel = next(iter(reading.panels(records)), reading.MEAN)
    rows = [row for each in (records, *others) for row in _study(panel, each)]
    return rows if any(row.best is not None for row in rows if row.tried) else []


def _study(panel: str, records: reading.Records) -> list[Row]:
    study = records[0].study if records else ""
    found = {record.number: value for record, value in reading.scored(records, panel)}
    arms: dict[str, list[float | None]] = {}
    for record in sorted(records, key=lambda each: each.number):
        if reading.is_candidate(record) and record.key:  # else no memory was left to propose
            arm = record.proposed_by or record.origin
            arms.setdefault(arm, []).append(found.get(record.number))
    rows: list[Row] = []
    for arm in sorted(arms, key=lambda arm: (arm == CHANCE, arm)):
        best: float | None = None
        for tried, score in enumerate(arms[arm], 1):
            best = max((x for x in (best, score) if x is not None), default=None)
            band = any_order(arms[arm], tried) if arm == CHANCE else (None, None)
            rows.append(Row(panel, study, arm, tried, best, *band))
    known = [value for r, value in reading.scored(records, panel) if r.origin == "baseline"]
    if known:
        rows.append(Row(panel, study, KNOWN_BEST, 0, max(known), None, None))
    return rows


def any_order(scores: Sequence[float | None], tried: int) -> tuple[float | None, float | None]:
    """What the best of `tried` of these scores is, in 95 % of all orders; None where none is.

    The best of n of m, drawn without return, is at most the k-th smallest in C(k, n) / C(m, n) of
    all cases.
    """
    ordered = sorted(-math.inf if score is None else score for score in scores)
    cases = math.comb(len(ordered), tried)
    ends: list[float | None] = []
    for share in (LOW, HIGH):
        at = next(
            k for k in range(1, len(ordered) + 1) if 1000 * math.comb(k, tried) >= share * cases
        )
        ends.append(ordered[at - 1] if math.isfinite(ordered[at - 1]) else None)
    return ends[0], ends[1]


def height(rows: list[Row]) -> float:
    """Inches: room for the names, and for a legend of several studies."""
    studies = {row.study for row in rows}
    return room(len({(row.study, row.sampler) for row in rows})) + 0.15 * len(studies)


def letters(rows: list[Row]) -> dict[str, str]:
    """What stands before the names of a study: nothing where it is the only one, else A, B, C."""
    studies = list(dict.fromkeys(row.study for row in rows))
    if len(studies) == 1:
        return {studies[0]: ""}
    return {study: chr(ord("A") + place) for place, study in enumerate(studies)}


def known_lines(rows: list[Row]) -> list[tuple[float, str]]:
    """Best scores of known memories with their names: one line where studies agree."""
    owners: dict[float, tuple[float, list[str]]] = {}
    before = letters(rows)
    for row in rows:
        if not row.tried and row.best is not None:
            owners.setdefault(round(row.best, 3), (row.best, []))[1].append(before[row.study])
    return [
        (best, KNOWN_BEST if len(owners) == 1 else f"{', '.join(found)}: {KNOWN_BEST}")
        for best, found in owners.values()
    ]


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: steps that only rise, a band around chance, a line for what was known.

    A sampler has a colour, a study a kind of line, and a letter where there are several.
    """
    last = max(row.tried for row in rows)
    before = letters(rows)
    dashes = dict(zip(before, cycle(DASHES)))
    samplers = dict.fromkeys(r.sampler for r in rows if r.sampler not in (CHANCE, KNOWN_BEST))
    colours = dict(zip(samplers, cycle(COLOURS))) | {CHANCE: RANDOM}
    ends: list[End] = []
    for study, letter in before.items():
        if letter:
            axes.plot([], [], color=INK, linestyle=dashes[study], label=f"{letter}: {study}")
    for best, name in known_lines(rows):
        axes.axhline(best, color=KNOWN, linewidth=1.2, linestyle="--")
        ends.append(End(last, best, name, KNOWN))
    tries = [row for row in rows if row.tried]
    for study, sampler in dict.fromkeys((row.study, row.sampler) for row in tries):
        own = [row for row in tries if (row.study, row.sampler) == (study, sampler)]
        colour = colours[sampler]
        steps = [(row.tried, row.best) for row in own if row.best is not None]
        band = [(r.tried, r.low, r.high) for r in own if r.low is not None and r.high is not None]
        if band:
            tried, lows, highs = zip(*band, strict=True)
            text = "" if axes.collections else "chance in other orders (95 %)"
            axes.fill_between(
                tried, lows, highs, step="post", color=colour, alpha=0.18, lw=0, label=text
            )
        name = f"{before[study]}: {sampler}" if before[study] else sampler
        name += f", {len(own)} trial{'s' if len(own) > 1 else ''}"
        if steps:
            tried, best = zip(*steps, strict=True)
            style = dashes[study]
            axes.step(tried, best, where="post", color=colour, linewidth=1.8, linestyle=style)
            axes.plot(tried[-1], best[-1], "o", color=colour, markersize=4)
            ends.append(End(tried[-1], best[-1], name, colour))
        else:
            axes.plot([], [], " ", label=f"{name}: none with a score")
    axes.margins(x=0.04, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_title(f"Best so far: {rows[0].panel}")
    axes.set_xlabel("trials of the same sampler,\nfailed and stopped ones included")
    axes.set_ylabel("score (0 = floor, 1 = ceiling)")
    name_ends(axes, ends)
    if axes.get_legend_handles_labels()[0]:
        axes.figure.legend(loc="outside lower left")
