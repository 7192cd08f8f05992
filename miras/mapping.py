"""Behind `miras map`: the known memories, the systems of the field and the spaces, as one page."""

import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from miras.composition import Composition
from miras.composition import kind as kind_of
from miras.explain import choices
from miras.known import cells, compositions, known
from miras.listing import usual_plan
from miras.load import load
from miras.memory import Memory
from miras.part import SpecError, leaves

AXES = ("bias", "retention", "optimizer")

PART = re.compile(r"\{kind: ([^{},]+)(?:, )?([^{}]*)\}")

HEAD = """\
# The map: sequence memories by their choices

{count} known memories, each a file of a few lines in [known](known/). A memory is four choices:

- **architecture**: what is stored, and how it answers a query;
- **attentional bias**: the loss that says what it should have answered;
- **retention gate**: what is forgotten, and how weights are kept in bounds;
- **optimizer**: how one token, a chunk or a window of tokens changes what is stored.

A **composition** is the level above: several memories, their wiring and their schedule. Settings in
parentheses are those that are not defaults; gates inside parts are named with them. The **plan** is
the algorithm that `miras` takes for it in parallel over a sequence; `sequential` and `rank_one` go
token by token. Every file names paper, equation and departures, `miras explain NAME` prints the
equations that are computed.

This page is made by `miras map > spaces/README.md`; a test keeps it fresh.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = [HEAD.format(count=len(known())), *_memories(), *_compositions(), *_systems()]
    return "\n".join([*sections, *_spaces()]).rstrip() + "\n"


def _memories() -> Iterable[str]:
    for kind, part in leaves("miras.architecture").items():
        mine = {n: each for n, each in cells().items() if type(each.architecture) is part}
        if mine:
            yield f"\n## {kind}\n\n{part.summary()}\n"
            yield _table(
                ("memory", "architecture", *AXES, "plan", "paper"),
                [_row(name, memory) for name, memory in mine.items()],
            )


def _row(name: str, memory: Memory) -> tuple[str, ...]:
    chosen = {each.slot: _call(each.chosen) for each in choices(memory)}
    axes = (chosen[axis] for axis in AXES)
    return (_link(name), chosen["architecture"], *axes, usual_plan(memory), memory.paper)


def _call(chosen: str) -> str:
    """`{kind: decay, gate: {kind: mamba, top: 2}}` as `decay(gate: mamba(top: 2))`."""
    before = ""
    while chosen != before:
        before = chosen
        chosen = PART.sub(lambda found: found[1] + (f"({found[2]})" if found[2] else ""), chosen)
    return chosen


def _compositions() -> Iterable[str]:
    yield "\n## Compositions\n"
    rows: list[tuple[str, ...]] = []
    for name, memory in compositions().items():
        inside = ", ".join(_cell(cell) for cell in memory.cells)
        settings = choices(memory)[0].chosen
        rows.append((_link(name), settings, inside, memory.paper))
    yield _table(("memory", "composition", "cells", "paper"), rows)


def _cell(cell: Any) -> str:
    if isinstance(cell, Composition):
        return cell.name or kind_of(cell)
    if not cell.name:
        return str(cell.architecture.kind)
    return str(cell.name).replace("*", " (changed)")


def _systems() -> Iterable[str]:
    yield "\n## Systems of the field\n"
    yield "Systems that the grammar was written to say, whether there is a file or not.\n"
    written = systems()
    rows = [
        (
            str(number),
            str(each["system"]),
            ", ".join(map(_link, each.get("known", ()))),
            str(each.get("note", "")),
        )
        for number, each in enumerate(written, 1)
    ]
    yield _table(("", "system", "memory", "note"), rows)
    named = {name for each in written for name in each.get("known", ())}
    others = ", ".join(_link(name) for name in known() if name not in named)
    yield f"\nKnown memories beyond these: {others}."


class System(BaseModel):
    """A system of the field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    known: tuple[str, ...] = Field(default=(), description="known memories that say it")
    note: str = Field(default="", description="what is left out, or why there is no file")


class Systems(BaseModel):
    """The systems of the field in the order of the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    systems: tuple[System, ...]


def systems() -> list[dict[str, Any]]:
    """Systems of the field in the order of the page: `system`, `known` and `note` of each."""
    found = load(_folder() / "map" / "systems.yaml", Systems)
    return [each.model_dump(exclude_defaults=True) for each in found.systems]


def _spaces() -> Iterable[str]:
    yield "\n## Spaces\n"
    yield "A space is a memory with holes; `miras search` fills them. A structure is one way to"
    yield "fill them: kinds, options and whole numbers count each, a real number counts as one."
    yield "Well typed are those that no rule of the grammar refuses. `miras space NAME` prints the"
    yield "numbers with the rules behind them; `python benchmarks/spaces.py` counts all of them.\n"
    path = _folder() / "counts.json"
    if not path.exists():
        raise SpecError(f"{path} is missing: run `python benchmarks/spaces.py` in a checkout")
    rows = [
        (
            f"[{each['name']}]({each['name']}.yaml)",
            _number(each["structures"]) + (", times real numbers" if each["continuous"] else ""),
            _well_typed(each),
            _percent(each["refused"]),
            str(each["method"]),
            ", ".join(each["known"]),
        )
        for each in json.loads(path.read_text(encoding="utf-8"))
    ]
    titles = ("space", "structures", "well typed", "refused", "count", "known memories inside")
    yield _table(titles, rows)


def _well_typed(counted: dict[str, Any]) -> str:
    low, high = counted["interval"]
    about = f" ({_number(low)} to {_number(high)})" if low < high else ""
    return _number(counted["well_typed"]) + about


def _number(value: int | float) -> str:
    return f"{round(value):,}" if value < 1e12 else f"{float(value):.1e}"


def _percent(share: float) -> str:
    return f"all but {1 - share:.0e}" if share > 0.9995 else f"{100 * share:.1f} %"


def _folder() -> Path:
    return Path(str(files("miras") / "spaces"))


def _link(name: str) -> str:
    return f"[{name}](known/{name}.yaml)"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in lines)
