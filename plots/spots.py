"""Names beside the points of a map."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from .style import QUIET, readable


class Spot(NamedTuple):
    """A point of a map, with a name if it is to have one there."""

    x: float
    y: float
    text: str
    colour: str
    named: bool


NAME, POINT, LEADER, OUTSIDE = 10, 400, 60, 40
"""What it costs to cover a square point of a name, a point, a square point of a line to a point,
and to reach a square point out of the panel."""


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
    dots = [_around(x, y, 4 * pixels) for x, y in points]
    names: list[Box] = []
    leaders: list[Box] = []
    for own, (spot, (x, y)) in enumerate(zip(spots, points, strict=True)):
        if not spot.named:
            continue
        wide = float(TextPath((0, 0), spot.text, size=size).get_extents().width) * pixels
        tall = 1.2 * size * pixels
        places = [_beside(x, y, wide, tall, place, pixels) for place in _AROUND]
        lines = [
            _leader(x, y, box, pixels) if place[2] > NEAR else []
            for box, place in zip(places, _AROUND, strict=True)
        ]
        others = [dot for place, dot in enumerate(dots) if place != own]
        covered = [
            NAME * sum(map(box.shared, names))
            + POINT * sum(min(1.0, box.shared(dot)) for dot in dots) * pixels**2
            + OUTSIDE * (box.area - box.shared(room))
            + LEADER * sum(map(box.shared, leaders))
            + LEADER * sum(piece.shared(each) for piece in line for each in [*names, *others])
            for box, line in zip(places, lines, strict=True)
        ]
        rank = covered.index(min(covered))
        box = places[rank]
        names.append(box)
        leaders += lines[rank]
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
            arrowprops=line if lines[rank] else None,
            path_effects=[withStroke(linewidth=2, foreground="white")],  # lines pass behind it
        )
        name.set_in_layout(False)


def _around(x: float, y: float, far: float) -> "Box":
    return Box(x - far, y - far, x + far, y + far)


def _leader(x: float, y: float, box: "Box", pixels: float) -> list["Box"]:
    """The line from a point to the middle of its name, outside of the name, as small squares."""
    right, up = (box.left + box.right) / 2 - x, (box.low + box.high) / 2 - y
    steps = max(2, int(max(abs(right), abs(up)) / pixels))
    pieces = [
        _around(x + right * n / steps, y + up * n / steps, pixels / 2) for n in range(steps + 1)
    ]
    return [piece for piece in pieces if not piece.shared(box)]


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


NEAR = 6
"""Points from which a name needs no line to its own point."""

_AROUND = [
    (right, up, far)
    for far in (NEAR, 13, 24, 36)
    for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
]
"""Where a name may stand, best first: right or left, above or below, and how many points away."""
