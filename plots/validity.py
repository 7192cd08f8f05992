"""What each memory scores at each difficulty of a task, with 95 % intervals over seeds."""

import re
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes

from miras.result import TrialRecord
from miras.statistics import mean_interval

from . import reading
from .setups import Mean, draw_means
from .style import End, legend_of_arms, name_ends, room, strokes

RUNG = re.compile(r"(?P<kind>score|accuracy)/(?P<label>[^=/]+=[\d.]+(?P<beyond>,.*)?)")
"""Metrics of a task with difficulties; accuracies are drawn where there are no scores."""

UNITS = {"score": "score, 0 floor, 1 perfect", "accuracy": "accuracy", "bits": "bits per byte"}

BITS = {
    "bits_per_byte/recall": "after what came before",
    "bits_per_byte": "all bytes",
    "bits_per_byte/other": "all others",
}
"""Metrics of text, with their names on the axis."""


class Row(NamedTuple):
    """One memory at one difficulty. `panel` is the study and the task.

    The interval is Student's over seeds, within what scores can be; with one seed it is the score.
    """

    panel: str
    number: int
    name: str
    origin: str
    label: str
    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]
    kind: str


def table(records: reading.Records) -> list[Row]:
    """Difficulties in order: trained ones, then those beyond; one row for each memory and each."""
    rows: list[Row] = []
    for task in reading.tasks(records):
        for record in reading.shown(records, lambda r, task=task: reading.task_score(r, task)):
            rows += _rows(task, record)
    return rows


def _rows(task: str, record: TrialRecord) -> list[Row]:
    metrics = [result.metrics for result in reading.results(record, task)]
    if not metrics:
        return []
    shared = [name for name in metrics[0] if all(name in each for each in metrics)]
    found = {name: match for name in shared if (match := RUNG.fullmatch(name))}
    kind = "score" if any(match["kind"] == "score" for match in found.values()) else "accuracy"
    found = {name: match for name, match in found.items() if match["kind"] == kind}
    names = {
        name: found[name]["label"] for name in sorted(found, key=lambda name: _place(found[name]))
    } or {name: label for name, label in BITS.items() if name in shared}
    rows: list[Row] = []
    for name, label in names.items():
        seeds = tuple(each[name] for each in metrics)
        low = high = fmean(seeds)
        if len(seeds) > 1:
            _, low, high, _ = mean_interval(seeds)
        if found:
            low, high = max(0.0, low), min(1.0, high)
        rows.append(
            Row(
                panel=_panel(record.study, task),
                number=record.number,
                name=reading.label(record),
                origin=record.origin,
                label=label,
                mean=fmean(seeds),
                low=low,
                high=high,
                seeds=seeds,
                kind=kind if found else "bits",
            )
        )
    return rows


def _panel(study: str, task: str) -> str:
    """The study and the task, once where the study is named after it ("T6 parity")."""
    said, asked = (re.sub(r"[-_\s]+", " ", text).lower() for text in (study, task))
    return study if f" {said}".endswith(f" {asked}") else f"{study}, {task}"


def _place(match: re.Match[str]) -> tuple[bool, list[float]]:
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", match["label"])]
    return match["beyond"] is not None, numbers


def height(rows: list[Row]) -> float:
    """Inches: room for the names."""
    return room(len({row.number for row in rows}))


def draw(axes: Axes, rows: list[Row]) -> None:
    """One panel: a line for each memory, a bar for its interval, a faint dot for each seed."""
    labels = list(dict.fromkeys(row.label for row in rows))
    found = {row.number: row.origin for row in rows}
    ends: list[End] = []
    for place, (number, stroke) in enumerate(
        zip(found, strokes(list(found.values())), strict=True)
    ):
        line = [row for row in rows if row.number == number]
        shift = 0.05 * (place - (len(found) - 1) / 2)  # side by side, so that bars do not hide
        x = [labels.index(row.label) + shift for row in line]
        means = [Mean(row.mean, row.low, row.high, row.seeds) for row in line]
        draw_means(axes, x, means, stroke)
        ends.append(End(x[-1], line[-1].mean, line[0].name, stroke.colour))
    beyond = any("," in label for label in labels)
    axes.set_xticks(range(len(labels)), [label.replace(",", ",\n") for label in labels])
    axes.set_xlim(-0.4, len(labels) - 0.6)
    if rows[0].kind != "bits":
        axes.set_ylim(-0.03, 1.03)
    seeds = max(len(row.seeds) for row in rows)
    axes.set_title(rows[0].panel)
    over = "bytes that are judged" if rows[0].kind == "bits" else "difficulty"
    axes.set_xlabel(f"{over}; with a length: beyond training" if beyond else over)
    axes.set_ylabel(UNITS[rows[0].kind] + (f" (95 %, {seeds} seeds)" if seeds > 1 else ""))
    name_ends(axes, ends)
    legend_of_arms(axes, found.values())
