"""The commands that draw: one figure of a run, or the whole report of a study."""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from miras.part import SpecError
from miras.result import TrialRecord


def report(run: Annotated[Path, typer.Argument(help="folder of a study")]) -> None:
    """Write report.html, report.md and figures of a study."""
    from miras.plots import write

    with _sentences():
        print(write(run, between))


def plot(
    figure: Annotated[str, typer.Argument(help="name of a figure; `list` names them all")],
    run: Annotated[Path, typer.Argument(help="folder of a study")] = Path(),
) -> None:
    """Draw one figure of a study as SVG and PNG."""
    from miras.plots import draw, figures

    if figure == "list":
        for name, kind in figures().items():
            print(f"{name:<12} {kind.summary}")
        return
    with _sentences():
        for path in draw(figure, run, between):
            print(path)


def between(records: Sequence[TrialRecord]) -> list[list[float]]:
    """In how many values the memories of records differ from each other, in their normal forms.

    The figures know nothing of memories: this is told them. NaN for a memory that this version
    cannot read.
    """
    from miras.canonical import distance
    from miras.search.space.derive import Refusal, build

    found = [build(record.memory) for record in records]
    table = [[0.0] * len(found) for _ in found]
    for row, one in enumerate(found):
        for column, other in enumerate(found[:row]):
            bad = isinstance(one, Refusal) or isinstance(other, Refusal)
            apart = math.nan if bad else float(distance(one, other).values)
            table[row][column] = table[column][row] = apart
        if isinstance(one, Refusal):
            table[row][row] = math.nan
    return table


@contextmanager
def _sentences() -> Generator[None]:
    """The figures know nothing of miras but its results: what is wrong there is a ValueError."""
    try:
        yield
    except ValueError as error:
        raise SpecError(str(error)) from None
