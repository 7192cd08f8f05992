"""Addresses: which slots, or which stored pairs, each token reads and writes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from matplotlib.axes import Axes

from miras.result import Seen

from ..style import FOUND
from .seen import LEGIBLE, headed, marks, of, title, token_axis

COLOURS = "cividis"
MEANING = {"reads": "weight of the slot in the read", "writes": "change of the slot (length)"}


class Row(NamedTuple):
    """One slot over all tokens. `panel` is the memory, and whether it reads or writes.

    A weight is None where there was no such slot yet, in memories whose slots are pairs.
    """

    panel: str
    what: str
    slot: int
    weights: tuple[float | None, ...]
    tokens: tuple[str, ...]
    marked: tuple[int, ...]
    meaning: str
    rest: bool  # whether there are slots that are not shown


def table(seen: Sequence[Seen]) -> list[Row]:
    """Every slot of every look at addresses, reads before writes."""
    rows: list[Row] = []
    for look in of(seen, "addresses"):
        places, meaning = marks(look.asked, look.told)
        for what in (name for name in MEANING if name in look.tables):
            rest = look.numbers.get("slots", 0) > len(look.tables[what])
            for place, weights in enumerate(look.tables[what]):
                named = look.series.get("slot", ())
                slot = int(named[place] or 0) if named else place
                panel = f"{title(look)}: {what}"
                shown = (look.tokens, tuple(sorted(places)), meaning)
                rows.append(Row(panel, what, slot, weights, *shown, rest))
    return rows


def height(rows: list[Row]) -> float:
    """Inches: a slot is at least as high as can be seen."""
    return min(5.2, 2.3 + 0.06 * max(16, len(rows)))


def draw(axes: Axes, rows: list[Row]) -> None:
    """Slots from the top down, tokens from left to right, brighter where the weight is larger."""
    whole = [[float("nan") if x is None else x for x in row.weights] for row in rows]
    image = axes.imshow(whole, aspect="auto", cmap=COLOURS, vmin=0.0, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_facecolor("white")
    tokens = rows[0].tokens
    token_axis(axes, tokens, rows[0].marked, rows[0].meaning)
    if len(tokens) > LEGIBLE:
        axes.set_xlabel("token" + (f"; orange: {rows[0].meaning}" if rows[0].marked else ""))
    above = axes.get_xaxis_transform()
    for place in rows[0].marked:
        axes.plot(place, 1.018, "v", color=FOUND, ms=3.5, transform=above, clip_on=False)
    ticks = range(0, len(rows), max(1, -(-len(rows) // 9)))
    axes.set_yticks(ticks, [f"{rows[place].slot:,}" for place in ticks])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    pairs = any(None in row.weights for row in rows)
    slot = f"slot, the {len(rows)} that are read most" if rows[0].rest else "slot"
    axes.set_ylabel("stored pair, by its token" if pairs else slot)
    headed(axes, rows[0].panel, pad=12.0)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=25)
    meaning = "weight of the pair in the read" if pairs else MEANING[rows[0].what]
    bar.set_label(meaning, fontsize=8.5)
    cast(Any, bar.outline).set_visible(False)
