"""The look of the figures: colours, labels at the ends of lines, and files on disk."""

from collections.abc import Generator, Sequence
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

WIDTH = 4.8
"""Inches: on a phone, 358 points wide, 8 point text is still as large as a footnote."""

HEIGHT = 3.5
"""Inches of a panel that has no reason to be taller or lower."""

LINE = 0.235
"""Inches of a figure's height that a name needs, with what goes to title and x axis added."""

_KNOWN_CYCLE = ["#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#777777"]
_FOUND_CYCLE = ["#D55E00", "#000000", "#882255"]
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


def strokes(candidates: Sequence[bool]) -> list[Stroke]:
    """Strokes for lines in order: candidates thick and solid, known memories thin and dashed."""
    chosen: list[Stroke] = []
    for index, found in enumerate(candidates):
        place = sum(other == found for other in candidates[:index])
        if found:
            cycle = _FOUND_CYCLE
            dashes = ["-", *_DASHES][place // len(cycle) % 5]
        else:
            cycle = _KNOWN_CYCLE
            dashes = _DASHES[place // len(cycle) % len(_DASHES)]
        chosen.append(Stroke(cycle[place % len(cycle)], dashes, 2.2 if found else 1.3))
    return chosen


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


class Spot(NamedTuple):
    """A point of a map, with a name if it is to have one there."""

    x: float
    y: float
    text: str
    colour: str
    named: bool


def name_spots(axes: Axes, spots: Sequence[Spot], size: float = 7.5) -> None:
    """Write names beside points where they cover least: neither points nor other names.

    Call it last: it draws the figure once to know where the points are.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()
    points = [tuple(map(float, axes.transData.transform((spot.x, spot.y)))) for spot in spots]
    inside = axes.get_window_extent()
    pixels = figure.dpi / 72
    room = Box(inside.x0, inside.y0, inside.x1, inside.y1)
    taken = [Box(x - 3 * pixels, y - 3 * pixels, x + 3 * pixels, y + 3 * pixels) for x, y in points]
    for spot, (x, y) in zip(spots, points, strict=True):
        if not spot.named:
            continue
        wide, tall = 0.6 * size * pixels * len(spot.text), 1.2 * size * pixels
        boxes = [_beside(x, y, wide, tall, place, pixels) for place in _AROUND]
        covered = [sum(map(box.shared, taken)) + 9 * (box.area - box.shared(room)) for box in boxes]
        rank = covered.index(min(covered))
        box = boxes[rank]
        taken.append(box)
        line = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        name = axes.annotate(
            spot.text,
            xy=(spot.x, spot.y),
            xytext=((box.left - x) / pixels, ((box.low + box.high) / 2 - y) / pixels),
            textcoords="offset points",
            color=readable(spot.colour),
            fontsize=size,
            va="center",
            zorder=6,
            arrowprops=None if _AROUND[rank][2] <= 6 else line,
            path_effects=[withStroke(linewidth=2, foreground="white")],  # lines pass behind it
        )
        name.set_in_layout(False)


def _beside(
    x: float, y: float, wide: float, tall: float, place: tuple[int, int, int], pixels: float
) -> "Box":
    """Where a name would stand."""
    right, up, far = place
    gap = far * pixels
    left = x + gap if right > 0 else x - gap - wide if right < 0 else x - wide / 2
    middle = y + up * (gap + (tall / 2 if right == 0 else 0))
    return Box(left, middle - tall / 2, left + wide, middle + tall / 2)


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    low: float
    right: float
    high: float

    @property
    def area(self) -> float:
        """Pixels in it."""
        return (self.right - self.left) * (self.high - self.low)

    def shared(self, other: "Box") -> float:
        """Pixels that it has in common with another one."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        tall = min(self.high, other.high) - max(self.low, other.low)
        return max(0.0, wide) * max(0.0, tall)


_AROUND = [
    (right, up, far)
    for far in (6, 13, 24)
    for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
]
"""Where a name may stand, best first: right or left, above or below, and how many points away."""
