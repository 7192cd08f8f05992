"""The figures: each is `table(results)` and `draw(axes, table)`. Needs neither torch nor Optuna."""

if __name__ != "miras.plots":
    raise ImportError(
        f"this folder is the package miras.plots, not {__name__!r}: import miras.plots instead"
        " (two names would mean two copies of every class)"
    )

from .reading import grouped
from .registry import Kind, Panel, figures, panels, plot
from .report import write
from .style import save

__all__ = ["Kind", "Panel", "figures", "grouped", "panels", "plot", "save", "write"]
