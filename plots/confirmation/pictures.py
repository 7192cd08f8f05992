"""All figures of a confirmation."""

from collections.abc import Sequence
from pathlib import Path

from miras.page import Picture, Pictures
from miras.result import Finding

from ..style import canvas, save
from . import forest, rescored


def draw_all(findings: Sequence[Finding], folder: Path) -> Pictures | None:
    """Draw and save what can be shown: a forest for each finalist, and the winner's curse."""
    drawn: list[Picture] = []
    rows = forest.table(findings)
    for place, panel in enumerate(dict.fromkeys(row.panel for row in rows), 1):
        mine = [row for row in rows if row.panel == panel]
        with canvas(forest.height(mine)) as (figure, axes):
            forest.draw(axes, mine)
        vector, pixels = save(figure, folder / "figures", f"forest-{place}")
        words = f"{panel} against others"
        drawn.append(Picture(f"figures/{pixels.name}", words, vector.read_bytes()))
    if dots := rescored.table(findings):
        with canvas(rescored.height(dots)) as (figure, axes):
            rescored.draw(axes, dots)
        vector, pixels = save(figure, folder / "figures", "rescored")
        drawn.append(Picture(f"figures/{pixels.name}", dots[0].panel, vector.read_bytes()))
    return Pictures(drawn) if drawn else None
