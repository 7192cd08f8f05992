"""The figures: each is `table(results)` and `draw(axes, table)`. Needs neither torch nor Optuna."""

if __name__ != "miras.plots":
    raise ImportError(
        f"this folder is the package miras.plots, not {__name__!r}: import miras.plots instead"
        " (two names would mean two copies of every class)"
    )

from .registry import Kind, Panel, draw, figures, panels, plot
from .report import write
from .study import Study, load, records
from .style import save

__all__ = [
    "Kind",
    "Panel",
    "Study",
    "draw",
    "figures",
    "load",
    "panels",
    "plot",
    "records",
    "save",
    "write",
]
