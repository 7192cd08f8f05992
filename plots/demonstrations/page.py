"""Figures and a Markdown page from the results of demonstrations."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style

from miras.page import Block, Heading, Picture, Pictures, Table, Text, to_markdown
from miras.result import Shown, Verdict

from ..style import STYLE, canvas
from . import lines, points, words


def figure(verdict: Verdict, results: Sequence[Shown], folder: Path) -> Path:
    """Draw a row as `<row>.png`: its curve if it has one, else one number per memory."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{verdict.row}.png"
    curve = lines.table(verdict, results) if verdict.curve else []
    numbers = points.table(verdict, results)
    with canvas(lines.height(curve) if curve else points.height(numbers)) as (drawn, axes):
        if curve:
            lines.draw(axes, curve)
        else:
            points.draw(axes, numbers)
    with matplotlib.style.context(STYLE):
        drawn.savefig(path, metadata={"Software": None})
    return path


def number(value: float) -> str:
    """Three digits that count; whole numbers in full, as far as a person reads them."""
    whole = value == int(value) if abs(value) < 1e9 else False
    return f"{value:.0f}" if whole else f"{value:.3g}"


def measured(verdict: Verdict, name: str, metric: str) -> str:
    """Mean and standard deviation; a dash for what this memory has not got."""
    if metric not in verdict.means[name]:
        return "-"
    return f"{number(verdict.means[name][metric])} ± {number(verdict.spreads[name][metric])}"


def write(
    name: str, description: str, verdicts: Sequence[Verdict], results: Sequence[Shown], folder: Path
) -> Path:
    """Write `README.md` and `figures/` into the folder; returns the page."""
    reached = sum(verdict.reached for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    blocks: list[Block] = [
        Text(description),
        Text(
            f"{reached} of {len(verdicts)} rows reach what is claimed, controls included. All runs"
            f" took {seconds:.0f} s of one core. Numbers are mean ± standard deviation over seeds;"
            " a claim is about the mean."
        ),
        Table(
            ("row", "system", "what is seen", "candidate", "controls", "reached"),
            [_line(verdict) for verdict in verdicts],
        ),
    ]
    for verdict in verdicts:
        path = figure(verdict, results, folder / "figures").relative_to(folder).as_posix()
        blocks += [Heading(f"{verdict.number}. {verdict.system}: {verdict.row}")]
        blocks += [Text(f"{verdict.title}.")]
        blocks += [Text(verdict.note)] if verdict.note else []
        blocks += [_memories(verdict), _claims(verdict)]
        blocks += [Pictures([Picture(path, verdict.title, b"")])]
    page = folder / "README.md"
    page.write_text(to_markdown(f"Demonstrations: {name}", blocks), encoding="utf-8")
    return page


def _line(verdict: Verdict) -> tuple[str, ...]:
    def each(names: Sequence[str]) -> str:
        return ", ".join(f"{name} {measured(verdict, name, verdict.metric)}" for name in names)

    return (
        str(verdict.number),
        verdict.system,
        f"{verdict.title} ({words.metric(verdict.metric)}, {verdict.better} is better)",
        each(verdict.candidates),
        each(verdict.controls),
        "yes" if verdict.reached else "no",
    )


def _memories(verdict: Verdict) -> Table:
    metrics = verdict.columns or [
        metric
        for metric in verdict.means[verdict.candidates[0]]
        if not verdict.curve or metric.partition("=")[0] != verdict.curve
    ]
    rows = [
        (
            name,
            "candidate" if name in verdict.candidates else "control",
            *(measured(verdict, name, metric) for metric in metrics),
            ", ".join(f"{path} {value:g}" for path, value in verdict.settings[name].items()) or "-",
            str(verdict.state_floats[name]),
            str(verdict.parameters[name]),
        )
        for name in (*verdict.candidates, *verdict.controls)
    ]
    columns = ("memory", "role", *metrics, "chosen", "state floats", "parameters")
    return Table(columns, rows)


def _claims(verdict: Verdict) -> Table:
    rows = [
        (claim.text, number(claim.found), number(claim.bound), "yes" if claim.reached else "no")
        for claim in verdict.claims
    ]
    return Table(("claim", "found", "bound", "reached"), rows)
