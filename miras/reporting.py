"""The commands that draw: one figure of a run, or the whole report of a study."""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miras.exporting import WINNER
from miras.lines import ResultsError
from miras.part import SpecError
from miras.result import TrialRecord

if TYPE_CHECKING:
    from miras.page import Block


def report(run: Annotated[Path, typer.Argument(readable=False, help="folder of a study")]) -> None:
    """Write report.html, report.md and figures of a study."""
    from miras.plots import write

    with _sentences():
        print(write(run, between, equations(run / WINNER), asked(), ruled()))


def plot(
    figure: Annotated[str, typer.Argument(help="name of a figure; `list` names them all")],
    run: Annotated[Path, typer.Argument(readable=False, help="folder of a study")] = Path(),
    others: Annotated[
        list[Path] | None,
        typer.Argument(readable=False, help="further studies; `history` shows them beside it"),
    ] = None,
) -> None:
    """Draw one figure of a study as SVG and PNG."""
    from miras.plots import draw, figures

    if figure == "list":
        for name, kind in figures().items():
            print(f"{name:<12} {kind.summary}")
        return
    with _sentences():
        for path in draw(figure, run, between, others or ()):
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
            if isinstance(one, Refusal) or isinstance(other, Refusal):
                apart = math.nan
            else:
                apart = float(distance(one, other).values)
            table[row][column] = table[column][row] = apart
        if isinstance(one, Refusal):
            table[row][row] = math.nan
    return table


def asked() -> dict[str, str]:
    """What each kind of task asks."""
    from miras.part import leaves

    return {kind: part.summary() for kind, part in leaves("miras.tasks").items()}


def ruled() -> dict[str, str]:
    """What each rule of the grammar asks for."""
    from miras.rules import RULES

    return {rule.name: rule.sentence for rule in RULES}


def equations(path: Path) -> "list[Block]":
    """Choices and equations of each memory of a model file; nothing where there is no file."""
    from miras.explain import computed, explain
    from miras.load import load
    from miras.model import ModelFile
    from miras.page import Heading, Text

    if not path.is_file():
        return []
    try:
        memories = list(dict.fromkeys(load(path, ModelFile).model.pattern))
    except SpecError as error:
        return [Text(f"Its equations are not shown: this version of miras cannot read it. {error}")]
    if len(memories) == 1:
        return computed(explain(memories[0]), 3)
    found: list[Block] = []
    for place, memory in enumerate(memories, 1):
        found.append(Heading(f"Memory {place}: {memory.name or 'without a name'}", 3))
        found += computed(explain(memory), 4)
    return found


@contextmanager
def _sentences() -> Generator[None]:
    """The figures know nothing of miras but its results: what is wrong there, in our own words."""
    try:
        yield
    except ResultsError as error:
        raise SpecError(str(error)) from None
