"""Graph: edges between slots, and what lies in these before and after a dream."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from miras.lines import ResultsError
from miras.result import Seen

from ..style import FOUND, INK, KNOWN
from .seen import headed, of, title

SHOWN = 30
"""Edges that are drawn: more are a tangle."""

ALIKE = 0.9
"""Cosine above which two slots hold as good as the same."""

ROUNDS = 300
"""Steps in which the layout settles."""


class Row(NamedTuple):
    """One slot at one moment. `panel` is the memory and the moment.

    The place is that of its layout, which is the same at both moments; `cosine` says how far the
    content of the slot is still what it was before the dream; `edges` are (slot, weight) of the
    strongest edges that leave it.
    """

    panel: str
    moment: str
    slot: int
    x: float
    y: float
    nearest: tuple[int, float]  # the slot with the most similar content, and their cosine
    cosine: float
    edges: tuple[tuple[int, float], ...]
    token: int


def table(seen: Sequence[Seen]) -> list[Row]:
    """Every slot before and after the dream."""
    rows: list[Row] = []
    for look in of(seen, "graph"):
        edges = _matrix(look.tables["edges"])
        places = layout(edges)
        kept = _strongest(edges)
        before = _unit(_matrix(look.tables["slots before"]))
        for moment in ("before", "after"):
            content = _unit(_matrix(look.tables[f"slots {moment}"]))
            alike = content @ content.T
            np.fill_diagonal(alike, -np.inf)
            for slot in range(len(edges)):
                twin = int(alike[slot].argmax())
                rows.append(
                    Row(
                        panel=f"{title(look)}, {moment} a dream",
                        moment=moment,
                        slot=slot,
                        x=float(places[slot, 0]),
                        y=float(places[slot, 1]),
                        nearest=(twin, float(alike[slot, twin])),
                        cosine=float(before[slot] @ content[slot]),
                        edges=tuple((to, float(edges[slot, to])) for to in kept[slot]),
                        token=int(look.numbers["token"]),
                    )
                )
    return rows


def layout(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places `[slots, 2]` within the unit square: connected slots near each other, others apart.

    Springs along edges and a push between all slots, from a circle on, as Fruchterman and Reingold
    have it. The same edges give the same places.
    """
    count = len(edges)
    turn = 2 * np.pi * np.arange(count) / count
    places = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    pull = edges + edges.T
    pull = pull / max(float(pull.max()), 1e-12)
    rest = 2.0 / np.sqrt(count)  # the distance at which a full edge and the push are even
    for step in range(ROUNDS):
        apart = places[:, None] - places[None]
        distance = np.sqrt((apart**2).sum(-1)) + 1e-9
        force = rest**2 / distance**2 - pull * distance / rest
        np.fill_diagonal(force, 0.0)
        move = (apart * force[:, :, None]).sum(1) - 0.3 * places
        size = np.sqrt((move**2).sum(1, keepdims=True)) + 1e-9
        places = places + move / size * np.minimum(size, 0.1 * (1 - step / ROUNDS))
    low, high = places.min(0), places.max(0)
    return (places - low) / np.maximum(high - low, 1e-9)


def height(_: list[Row]) -> float:
    """Inches: as wide as high."""
    return 4.3


def draw(axes: Axes, rows: list[Row]) -> None:
    """Slots as discs, edges as arrows, and how far the dream has moved each content as colour."""
    places = {row.slot: (row.x, row.y) for row in rows}
    most = max((weight for row in rows for _, weight in row.edges), default=1.0)
    for row in rows:
        for to, weight in row.edges:
            if to == row.slot:
                continue
            strength = weight / most
            axes.annotate(
                "",
                xy=places[to],
                xytext=places[row.slot],
                arrowprops={
                    "arrowstyle": "-|>,head_width=0.16,head_length=0.3",
                    "connectionstyle": "arc3,rad=0.12",
                    "color": KNOWN,
                    "alpha": 0.15 + 0.75 * strength,
                    "linewidth": 0.4 + 2.2 * strength,
                    "shrinkA": 7,
                    "shrinkB": 7,
                },
            )
    twins = [(row.slot, row.nearest[0]) for row in rows if row.nearest[1] > ALIKE]
    for slot, twin in twins:
        ends = zip(places[slot], places[twin], strict=True)
        axes.plot(*ends, color=FOUND, lw=1.2, ls=":", zorder=2)
    moved = rows[0].moment == "after"  # before it every content is what it was
    dots = axes.scatter(
        [row.x for row in rows],
        [row.y for row in rows],
        s=170,
        c=[row.cosine if moved else 0.0 for row in rows],
        cmap="cividis" if moved else ListedColormap(["white"]),
        vmin=0.0,
        vmax=1.0,
        edgecolors=INK,
        linewidths=0.6,
        zorder=3,
    )
    for row in rows:
        colour = "white" if moved and row.cosine < 0.55 else INK
        axes.annotate(
            str(row.slot), (row.x, row.y), ha="center", va="center", fontsize=6.5, color=colour,
            zorder=4,
        )  # fmt: skip
    axes.set_xlim(-0.09, 1.09)
    axes.set_ylim(-0.09, 1.09)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    headed(axes, rows[0].panel)
    shown = sum(len(row.edges) for row in rows)
    axes.set_xlabel(
        f"{shown} strongest edges, largest {most:.2g}; token {rows[0].token + 1}"
        + (f"\norange: contents of cosine above {ALIKE:g}" if twins else ""),
        color=INK,
        fontsize=8.5,
    )
    if not moved:
        return
    bar = axes.figure.colorbar(dots, ax=axes, pad=0.02, aspect=25, shrink=0.85)
    bar.set_label("cosine with its content before the dream", fontsize=8.5)
    cast(Any, bar.outline).set_visible(False)


def _strongest(edges: NDArray[np.float64]) -> dict[int, list[int]]:
    """For each slot the slots that its strongest edges lead to, of all edges the largest."""
    order = np.argsort(-edges, axis=None, kind="stable")[:SHOWN]
    found: dict[int, list[int]] = {slot: [] for slot in range(len(edges))}
    for place in order.tolist():
        start, end = divmod(int(place), len(edges))
        if edges[start, end] > 0:
            found[start].append(end)
    return found


def _matrix(rows: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    if any(x is None for row in rows for x in row):
        raise ResultsError(
            "a number of this graph is not finite: the memory diverged, look at one that did not"
        )
    return np.array(rows, np.float64)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
