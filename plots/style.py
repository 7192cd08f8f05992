"""The look of the figures: colours, labels at the ends of lines, and files on disk."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

STYLE = Path(__file__).with_name("miras.mplstyle")

KNOWN, FOUND, RANDOM, QUIET, INK = "#0072B2", "#D55E00", "#009E73", "#9A9A9A", "#333333"

RANDOM_ARM = "random arm"
"""What the memories that chance drew are called."""

FLOOR = 0.9
"""Width of the line of a floor, which is solid and in INK."""

WIDTH = 4.8
"""Inches: on a phone, 358 points wide, 8 point text is still as large as a footnote."""

HEIGHT = 3.5
"""Inches of a panel that has no reason to be taller or lower."""

LINE = 0.235
"""Inches of a figure's height that a name needs, with what goes to title and x axis added."""

_CYCLES = {
    "baseline": [KNOWN, "#332288", "#CC79A7", "#56B4E9", "#777777"],
    "search": [FOUND, "#000000", "#882255"],
    "random": [RANDOM],
}
"""Colours of lines by origin: green is the random arm in every figure, so no known memory is."""

_DASHES = ["--", ":", "-.", (0, (6, 1.5, 1, 1.5, 1, 1.5))]

LineStyle = str | tuple[float, tuple[float, ...]]


class Stroke(NamedTuple):
    """How one memory is drawn among others."""

    colour: str
    dashes: LineStyle
    width: float


class End(NamedTuple):
    """Last point of a line and the name to write beside it."""

    x: float
    y: float
    text: str
    colour: str


def room(names: int) -> float:
    """Height of a panel of lines with so many names at the right, in inches."""
    return max(3.5, 1.4 + 0.2 * names)


@contextmanager
def canvas(height: float) -> Generator[tuple[Figure, Axes]]:
    """One empty panel of `height` inches; what is drawn inside the `with` has the shared style."""
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.svg` and `name.png`; the same figure gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    vector, pixels = folder / f"{name}.svg", folder / f"{name}.png"
    with matplotlib.style.context(STYLE):
        figure.savefig(vector, metadata={"Date": None, "Creator": None, "Format": None})
        figure.savefig(pixels, metadata={"Software": None})
    return vector, pixels


def strokes(origins: Sequence[str]) -> list[Stroke]:
    """Strokes for lines in order: candidates thick and solid, known memories thin and dashed.

    An origin is that of a record: `baseline`, `search` or `random`.
    """
    chosen: list[Stroke] = []
    for index, origin in enumerate(origins):
        place, cycle = origins[:index].count(origin), _CYCLES[origin]
        known = origin == "baseline"
        dashes = _DASHES if known else ["-", *_DASHES]
        dash = dashes[place // len(cycle) % len(dashes)]
        chosen.append(Stroke(cycle[place % len(cycle)], dash, 1.3 if known else 2.2))
    return chosen


def legend_of_arms(axes: Axes, origins: Iterable[str]) -> None:
    """Say which lines are memories that chance drew; nothing where there are none."""
    if "random" in origins:
        axes.plot([], [], color=RANDOM, lw=2.2, label=RANDOM_ARM)
    if axes.get_legend_handles_labels()[0]:
        axes.figure.legend(loc="outside lower left", ncols=2, columnspacing=1)


def draw_floor(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """The best guess without memory, in the one look that it has in all figures.

    Call it when the axes have their scales: its name stands on the middle of its first part.
    """
    marker = "_" if len(points) == 1 else ""
    axes.plot(*zip(*points, strict=True), color=INK, lw=FLOOR, marker=marker, zorder=1.9)
    ends = axes.transData.transform([points[0], points[min(1, len(points) - 1)]])
    middle = axes.transData.inverted().transform(ends.mean(axis=0))
    axes.annotate(
        "floor", (float(middle[0]), float(middle[1])), fontsize=7.5, color=INK, ha="center",
        va="center", path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def percent(share: float) -> str:
    """0.123 as 12 %, in the one way in which figures write it."""
    return f"{100 * share:.0f} %"


def readable(colour: str) -> tuple[float, float, float]:
    """A darker tone of a line's colour: text is thinner than a line and needs more contrast."""
    red, green, blue = to_rgb(colour)
    return 0.72 * red, 0.72 * green, 0.72 * blue


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Places between 0 and 1, moved as little as needed so that neighbours are `gap` apart.

    Least squares under the order of the places: neighbours that are too close become a block
    around the mean of what they wanted. If there are too many, they leave at the bottom.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[float, int]] = []  # mean wish of the first member, members
    for rank, index in enumerate(order):
        wish, count = places[index] - rank * gap, 1
        while blocks and blocks[-1][0] >= wish:
            before, members = blocks.pop()
            wish = (before * members + wish * count) / (members + count)
            count += members
        blocks.append((wish, count))
    moved = [wish for wish, count in blocks for _ in range(count)]
    result = [0.0] * len(places)
    for rank, index in enumerate(order):
        room_above = 1 - (len(order) - 1 - rank) * gap
        result[index] = min(max(moved[rank], 0) + rank * gap, room_above)
    return result


def name_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Write names to the right of the panel, each tied to the end of its line.

    A legend of ten lines is a puzzle; a name beside its line is not. Call it last: it reads the
    limits of the axes and the height of the figure.
    """
    axes.get_xlim()  # limits that follow from what is drawn are set when they are asked for
    axes.get_ylim()
    # Through pixels, so that it holds on a logarithmic axis too.
    inside = axes.transData + axes.transAxes.inverted()
    figure = axes.get_figure(root=True)
    inches = figure.get_figheight() if figure else HEIGHT
    wishes = [float(inside.transform((end.x, end.y))[1]) for end in ends]
    for end, place in zip(ends, apart(wishes, LINE / inches), strict=True):
        axes.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.04, place),
            textcoords="axes fraction",
            color=readable(end.colour),
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": end.colour, "linewidth": 0.5,
                "shrinkA": 1, "shrinkB": 1, "alpha": 0.6, "relpos": (0, 0.5),
            },
        )  # fmt: skip
