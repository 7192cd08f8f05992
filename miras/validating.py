"""Behind `miras validate`: run what is missing of a gate, judge it, write page and figures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from miras.search.sweep.standing import Standing

CHECKS = "floors.jsonl"


def validate(
    file: Annotated[
        Path, typer.Argument(readable=False, help="a sweep YAML whose comparisons have claims")
    ] = Path("studies/validity.yaml"),
    minutes: Annotated[
        float | None, typer.Option(min=0, help="begin nothing after so long; run again to go on")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="folder; studies/<name> if left out")
    ] = None,
) -> None:
    """Show that the tasks tell apart what the field tells apart. Exit code 1 if a row is open."""
    if not run(file, out, minutes):
        raise typer.Exit(1)


def run(file: Path, out: Path | None, minutes: float | None) -> bool:
    """Whether every row holds. Nothing new is begun after `minutes`; call again to go on."""
    from miras.lines import append, read
    from miras.result import FloorCheck, Result
    from miras.search.sweep import floors
    from miras.search.sweep.comparison import load_sweep
    from miras.search.sweep.gate import verdicts
    from miras.search.sweep.gate_page import page
    from miras.search.sweep.standing import Standing
    from miras.search.sweep.sweep import RESULTS
    from miras.search.sweep.sweep import run as run_sweep

    began = time.monotonic()
    sweep = load_sweep(file)
    folder = out or Path("studies") / sweep.name
    folder.mkdir(parents=True, exist_ok=True)
    standing = Standing(sweep, read(folder / RESULTS, Result))
    count, seconds = standing.left()
    hours = seconds / 3600 / sweep.workers
    print(
        f"{sweep.name}: {count} runs are left, about {hours:.1f} hours with {sweep.workers}"
        " workers, more where a grid of rates grows",
        flush=True,
    )
    checks = read(folder / CHECKS, FloorCheck)
    for task in floors.missing((each.task for each in sweep.compare), checks):
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            break
        checks.append(floors.check(task))
        append(folder / CHECKS, checks[-1])
        print(f"floors of {task.name}: {'hold' if floors.holds(checks[-1]) else 'DO NOT HOLD'}")
    rest = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
    standing = run_sweep(sweep, folder, rest)
    text = page(standing, checks, _figures(standing, folder))
    (folder / "README.md").write_text(text, encoding="utf-8")
    found = verdicts(standing)
    for each in found:
        print(f"{each.title:<28} {each.outcome}")
    print(f"the page is {folder / 'README.md'}")
    whole = not floors.missing((each.task for each in sweep.compare), checks)
    right = all(each.outcome == "holds" for each in found) and all(map(floors.holds, checks))
    return whole and right


def _figures(standing: "Standing", folder: Path) -> dict[str, str]:
    """Draw one figure for each comparison that has results, and all together.

    Files by the title of the comparison, the one of all under no title.
    """
    from miras.plots import panels, save
    from miras.plots.gates import orderings
    from miras.plots.style import canvas
    from miras.search.sweep.sweep import record

    drawn: dict[str, str] = {}
    groups: list[orderings.Group] = []
    for index, comparison in enumerate(standing.sweep.compare):
        runs = standing.final(index)
        known = (comparison.solves, comparison.fails)
        groups.append(orderings.Group(comparison.title, *known, runs))
        records = [
            record(comparison.title, number, name, members)
            for number, (name, members) in enumerate(runs.items())
            if members
        ]
        for panel in panels("validity", records):
            slug = comparison.title.replace(" ", "-").replace(".", "-").lower()
            save(panel.figure, folder / "figures", slug)
            drawn[comparison.title] = f"figures/{slug}.png"
    if rows := orderings.table(groups):
        with canvas(orderings.height(rows)) as (figure, axes):
            orderings.draw(axes, rows)
        save(figure, folder / "figures", "all")
        drawn[""] = "figures/all.png"
    return drawn
