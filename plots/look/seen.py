"""What was seen inside memories, as it is on disk, and the axis of tokens that figures share."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from miras.lines import ResultsError, read
from miras.result import Seen

from ..demonstrations.points import wrapped
from ..style import FOUND, INK

FILE = "look.jsonl"
LEGIBLE = 64
"""Tokens that have room for their names along the width of a figure."""


def looks(path: Path) -> list[Seen]:
    """Looks to plot: of a folder, or of a file. Raises ResultsError if there are none."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise ResultsError(f"{path} holds no {FILE}: run `miras look` first")
    return read(file, Seen)


def of(seen: Iterable[Seen], topic: str) -> list[Seen]:
    """The looks at one thing."""
    return [row for row in seen if row.topic == topic]


def title(row: Seen) -> str:
    """What was looked at, as the name of a panel."""
    drawn = "" if row.trained else ", weights as drawn"
    return f"{row.name} on {row.task}, {row.where}{drawn}"


def headed(axes: Axes, text: str, pad: float = 8.0) -> None:
    """A title on as many lines as it needs beside a colour bar."""
    axes.set_title(wrapped(text, 42), fontsize=9.5, pad=pad)


def token_axis(axes: Axes, tokens: Sequence[str], marked: Iterable[int], what: str) -> None:
    """Name the tokens below a figure, the `marked` ones in colour; past 64 their places alone.

    `what` says in words which ones are marked.
    """
    places = set(marked)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.6, len(tokens) - 0.4)
    if len(tokens) > LEGIBLE:
        axes.set_xlabel("token" + (f"; shaded: {what}" if places else ""))
        return
    axes.set_xticks(range(len(tokens)), tokens, rotation=90 if _wide(tokens) else 0)
    axes.tick_params(axis="x", length=0, pad=2)
    for place, label in enumerate(axes.get_xticklabels()):
        label.set_fontsize(7 if len(tokens) <= 36 else 5.5)
        label.set_color(FOUND if place in places else INK)
    axes.set_xlabel("tokens in their order" + (f"; orange: {what}" if places else ""))


def marks(asked: Sequence[int], told: Sequence[int]) -> tuple[frozenset[int], str]:
    """The places to mark, and what they are."""
    if told:
        return frozenset((*told, *asked)), "the needle, and where it is due"
    return frozenset(asked), "an answer is due"


def _wide(tokens: Sequence[str]) -> bool:
    return max(len(token) for token in tokens) > 1
