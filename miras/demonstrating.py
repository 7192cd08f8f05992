"""Behind `miras demonstrate`: run what is missing, say what came out, write page and figures."""

import time
from pathlib import Path

from miras import result
from miras.demonstration.judging import judge
from miras.demonstration.running import do, key_of, needed
from miras.demonstration.spec import Row, load_demonstrations
from miras.part import SpecError
from miras.result import Shown, Verdict

RESULTS = "results.jsonl"


def run(file: Path, chosen: list[str], seeds: int, out: Path | None) -> bool:
    """Whether every row that was asked for reaches what it claims."""
    found = load_demonstrations(file)
    folder = out or Path("runs") / found.name
    rows = _rows(found.demonstrate, chosen)
    results = result.read(folder / RESULTS, Shown)
    jobs = needed(rows, results, seeds)
    began = time.monotonic()
    for index, job in enumerate(jobs, 1):
        print(f"{index} of {len(jobs)}: {job.row.name}, {job.name}", flush=True)
        for each in do(job):
            result.append(folder / RESULTS, each)
    results = _current(found.demonstrate, result.read(folder / RESULTS, Shown))
    judged = (judge(row, results) for row in found.demonstrate)
    verdicts = sorted((each for each in judged if each), key=lambda each: each.number)
    _print([verdict for verdict in verdicts if verdict.row in {row.name for row in rows}])
    from miras.plots.demonstrations.page import write

    page = write(found.name, found.description, verdicts, results, folder)
    print(f"{time.monotonic() - began:.0f} s; table, claims and figures are in {page}")
    return all(verdict.reached for verdict in verdicts if verdict.row in {r.name for r in rows})


def _rows(rows: tuple[Row, ...], chosen: list[str]) -> list[Row]:
    """The rows of these names or numbers; all if none is given."""
    known = {name for row in rows for name in (row.name, str(row.number))}
    if wrong := [name for name in chosen if name not in known]:
        raise SpecError(
            f"there is no row {', '.join(wrong)}: use"
            f" {', '.join(f'{row.number} ({row.name})' for row in rows)}"
        )
    return [row for row in rows if not chosen or {row.name, str(row.number)} & set(chosen)]


def _current(rows: tuple[Row, ...], results: list[Shown]) -> list[Shown]:
    """The results that belong to the file as it stands, without those of changed rows."""
    keys = {(row.name, key_of(row, memory)) for row in rows for memory in row.memories.values()}
    return [each for each in results if (each.row, each.key) in keys]


def _print(verdicts: list[Verdict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("row", "memory", "mean ± sd", "floats", "claim", "reached"):
        table.add_column(name, no_wrap=True)
    for verdict in verdicts:
        for index, name in enumerate((*verdict.candidates, *verdict.controls)):
            mean = verdict.means[name][verdict.metric]
            spread = verdict.spreads[name][verdict.metric]
            claims = [claim for claim in verdict.claims if claim.memory == name]
            table.add_row(
                f"{verdict.number} {verdict.row}" if index == 0 else "",
                name,
                f"{mean:.3g} ± {spread:.2g}",
                str(verdict.state_floats[name]),
                "\n".join(claim.text.replace(f" of {name}", "") for claim in claims),
                "\n".join("yes" if claim.reached else "NO" for claim in claims),
            )
    Console(soft_wrap=False).print(table)
