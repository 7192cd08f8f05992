"""Write strength and surprise: what each token changed in a memory, and what the memory missed."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import Seen

from ..style import FOUND, KNOWN, QUIET
from .seen import LEGIBLE, headed, marks, of, title, token_axis


class Row(NamedTuple):
    """One token. `panel` is the memory; both lengths are shares of the largest of the sequence.

    None where there is no such thing, as at a token that waits for its batch.
    """

    panel: str
    place: int
    token: str
    marked: bool
    meaning: str
    change: float | None
    surprise: float | None
    largest_change: float
    largest_surprise: float


def table(seen: Sequence[Seen]) -> list[Row]:
    """Every token of every look at writes, in its order."""
    rows: list[Row] = []
    for look in of(seen, "writes"):
        places, meaning = marks(look.asked, look.told)
        nothing = (None,) * len(look.tokens)
        change = look.series.get("change", nothing)
        surprise = look.series.get("surprise", nothing)
        most = [max((x for x in each if x is not None), default=0.0) for each in (change, surprise)]
        for place, token in enumerate(look.tokens):
            shares = [
                None if x is None or not top else x / top
                for x, top in zip((change[place], surprise[place]), most, strict=True)
            ]
            rows.append(
                Row(title(look), place, token, place in places, meaning, *shares, *most)  # pyright: ignore[reportArgumentType]
            )
    return rows


def draw(axes: Axes, rows: list[Row]) -> None:
    """Bars for what was changed, dots on a line for what had been missed."""
    for row in rows:
        if row.marked:
            axes.axvspan(row.place - 0.5, row.place + 0.5, color=QUIET, alpha=0.18, lw=0)
    bars = [(row.place, row.change) for row in rows if row.change is not None]
    dots = [(row.place, row.surprise) for row in rows if row.surprise is not None]
    if bars:
        label = f"change of the memory (largest {rows[0].largest_change:.3g})"
        axes.bar(*zip(*bars, strict=True), width=0.75, color=KNOWN, alpha=0.75, label=label)
    if dots:
        label = f"surprise, what it missed (largest {rows[0].largest_surprise:.3g})"
        small = 3.5 if len(rows) <= LEGIBLE else 0
        axes.plot(*zip(*dots, strict=True), color=FOUND, marker="o", ms=small, lw=1.1, label=label)
    axes.set_ylim(0, 1.05)
    headed(axes, rows[0].panel)
    axes.set_ylabel("share of the largest")
    marked = [row.place for row in rows if row.marked]
    token_axis(axes, [row.token for row in rows], marked, rows[0].meaning)
    axes.figure.legend(loc="outside lower left", fontsize=8)
