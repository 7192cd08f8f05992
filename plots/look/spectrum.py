"""Spectrum of the transition: eigenvalues of the step from one state to the next."""

from collections.abc import Sequence
from math import hypot
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from miras.result import Seen

from ..style import INK, QUIET
from .seen import headed, of, title

COLOURS = "viridis"


class Row(NamedTuple):
    """One eigenvalue at one token, and how many times it occurs there."""

    panel: str
    token: int
    real: float
    imaginary: float
    times: int

    @property
    def radius(self) -> float:
        """Factor by which it stretches what lies along it."""
        return hypot(self.real, self.imaginary)


def table(seen: Sequence[Seen]) -> list[Row]:
    """All eigenvalues of every look at a transition."""
    rows: list[Row] = []
    for look in of(seen, "spectrum"):
        columns = [look.series[name] for name in ("token", "real", "imaginary", "times")]
        for token, real, imaginary, times in zip(*columns, strict=True):
            if token is None or real is None or imaginary is None or times is None:
                continue
            rows.append(Row(title(look), int(token), real, imaginary, int(times)))
    return rows


def height(_: list[Row]) -> float:
    """Inches: the circle is round, and as wide as the figure."""
    return 4.4


def draw(axes: Axes, rows: list[Row]) -> None:
    """Dots on the complex plane, larger where an eigenvalue occurs often, and the unit circle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color=QUIET, lw=1.0, zorder=1)
    axes.axhline(0, color=QUIET, lw=0.6, zorder=1)
    axes.axvline(0, color=QUIET, lw=0.6, zorder=1)
    most = max(row.times for row in rows)
    dots = axes.scatter(
        [row.real for row in rows],
        [row.imaginary for row in rows],
        s=[12 + 90 * (row.times / most) for row in rows],
        c=[row.token + 1 for row in rows],
        cmap=COLOURS,
        alpha=0.75,
        edgecolors="white",
        linewidths=0.4,
        zorder=3,
    )
    reach = max(1.0, *(abs(x) for row in rows for x in (row.real, row.imaginary))) * 1.08
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    headed(axes, rows[0].panel)
    largest = max(row.radius for row in rows)
    axes.set_xlabel(f"real part; largest absolute value {largest:.3f}", color=INK)
    axes.set_ylabel("imaginary part")
    bar = axes.figure.colorbar(dots, ax=axes, pad=0.02, aspect=25, shrink=0.85)
    bar.set_label("token; large dots: many times", fontsize=8.5)
    cast(Any, bar.outline).set_visible(False)
