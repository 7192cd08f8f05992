"""The best score so far of each sampler, trial by trial of its own, beside chance and the known."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from . import reading
from .style import INK, KNOWN, RANDOM, End, name_ends

CHANCE = "random"
KNOWN_BEST = "best known memory"
COLOURS = ("#D55E00", "#CC79A7", "#56B4E9", "#E69F00", "#777777", "#882255")
LOW, HIGH = 0.025, 0.975


class Row(NamedTuple):
    """The best of the first `tried` trials of one sampler; failed ones are trials too.

    Of chance alone, whose trials might as well have come in another order, `low` and `high` hold
    what 95 % of all orders give.
    """

    panel: str
    sampler: str
    tried: int
    best: float | None
    low: float | None
    high: float | None


def table(records: reading.Records) -> list[Row]:
    """On the mean of the objectives: every sampler, then the best of the known memories.

    A study that does not say which sampler thought of a trial has the search as one sampler.
    """
    panel = next(iter(reading.panels(records)), reading.MEAN)
    arms: dict[str, list[float | None]] = {}
    for record in sorted(records, key=lambda each: each.number):
        if reading.is_candidate(record):
            arm = record.proposed_by or record.origin
            arms.setdefault(arm, []).append(reading.score(record, panel))
    rows: list[Row] = []
    for arm in sorted(arms, key=lambda arm: (arm == CHANCE, arm)):
        best: float | None = None
        for tried, score in enumerate(arms[arm], 1):
            best = max((x for x in (best, score) if x is not None), default=None)
            band = any_order(arms[arm], tried) if arm == CHANCE else (None, None)
            rows.append(Row(panel, arm, tried, best, *band))
    if all(row.best is None for row in rows):
        return []
    known = [value for r, value in reading.scored(records, panel) if r.origin == "baseline"]
    if known:
        rows.append(Row(panel, KNOWN_BEST, 0, max(known), None, None))
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
        at = next(k for k in range(1, len(ordered) + 1) if math.comb(k, tried) >= share * cases)
        ends.append(ordered[at - 1] if math.isfinite(ordered[at - 1]) else None)
    return ends[0], ends[1]


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: steps that only rise, a band around chance, a line for what was known."""
    last = max(row.tried for row in rows)
    ends: list[End] = []
    colours = iter(COLOURS)
    for arm in dict.fromkeys(row.sampler for row in rows):
        if arm == KNOWN_BEST:
            continue
        colour = RANDOM if arm == CHANCE else next(colours, INK)
        own = [row for row in rows if row.sampler == arm]
        steps = [(row.tried, row.best) for row in own if row.best is not None]
        band = [(row.tried, row.low, row.high) for row in own if None not in (row.low, row.high)]
        if band:
            tried, lows, highs = zip(*band, strict=True)
            text = "chance in other orders (95 %)"
            axes.fill_between(
                tried, lows, highs, step="post", color=colour, alpha=0.18, lw=0, label=text
            )
        if steps:
            tried, best = zip(*steps, strict=True)
            axes.step(tried, best, where="post", color=colour, linewidth=1.8)
            axes.plot(tried[-1], best[-1], "o", color=colour, markersize=4)
            count = f"{len(own)} trial{'s' if len(own) > 1 else ''}"
            ends.append(End(tried[-1], best[-1], f"{arm}, {count}", colour))
    known = next((row.best for row in rows if row.sampler == KNOWN_BEST), None)
    if known is not None:
        axes.axhline(known, color=KNOWN, linewidth=1.2, linestyle="--")
        ends.append(End(last, known, KNOWN_BEST, KNOWN))
    axes.margins(x=0.04, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_title(f"Best so far: {rows[0].panel}")
    axes.set_xlabel("trials of the same sampler, failed ones included")
    axes.set_ylabel("best score so far (0 = floor, 1 = ceiling)")
    name_ends(axes, ends)
    if axes.get_legend_handles_labels()[0]:
        axes.figure.legend(loc="outside lower left")
