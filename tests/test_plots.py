"""The numbers behind every figure, and the files."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from plot_cases import LOST, record, result, scoring, seeded, synthetic

from miras import plots
from miras.lines import append
from miras.plots import bits, curves, frontier, ladder, objectives, outcomes, reading
from miras.result import Finding, Point, Result, TrialRecord

ROOT = Path(__file__).parent.parent

# Tables of the figures


def test_frontier_table() -> None:
    records = [
        scoring(0, 0.5, 1024, "baseline"),
        scoring(1, 0.7, 1024),
        scoring(2, 0.4, 512, "random"),
        scoring(3, 0.6, 4096),
        scoring(4, 0.9, 1024, "null"),
        record(5, "search", **LOST),
    ]
    rows = frontier.table(records)
    assert [(row.name, row.size, row.score, row.on_front) for row in rows] == [
        ("#1 candidate", 1024, 0.7, True),
        ("#3 candidate", 4096, 0.6, False),
        ("m0", 1024, 0.5, False),
        ("#2 candidate", 512, 0.4, True),
    ]


def test_frontier_has_the_mean_where_there_are_several_objectives() -> None:
    both = {"recall": 0.2, "tracking": 0.6}
    rows = frontier.table([record(objectives=both)])
    assert [(row.panel, row.score) for row in rows] == [
        (reading.MEAN, pytest.approx(0.4)),
        ("recall", 0.2),
        ("tracking", 0.6),
    ]


def test_objectives_table() -> None:
    records = [seeded(0, [0.4, 0.6], "baseline"), seeded(1, [0.95, 0.85], "search")]
    records += [seeded(2 + i, [0.1 + i / 100, 0.1 + i / 100]) for i in range(10)]
    rows = objectives.table(records)
    assert len(rows) == objectives.BEST + 1
    best, known = rows[0], rows[1]
    assert (best.name, best.seeds, best.solved) == ("#1 candidate", 2, 1)
    assert (best.low, best.score, best.high) == pytest.approx((0.85, 0.9, 0.95))
    assert (known.origin, known.score, known.low) == ("baseline", 0.5, pytest.approx(0.4))
    assert rows[-1].score == pytest.approx(0.13)


def test_curves_table() -> None:
    records = [seeded(0, [0.4, 0.8], "baseline")] + [scoring(n, n / 10) for n in range(1, 6)]
    rows = curves.table(records)
    assert [row.number for row in rows[::2]] == [0, 5, 4, 3]
    first = rows[0]
    assert (first.tokens, first.seeds, first.origin) == (200, 2, "baseline")
    assert (first.low, first.score, first.high) == pytest.approx((0.2, 0.3, 0.4))
    assert rows[2]._asdict() == {
        "panel": "mqar", "number": 5, "name": "#5 candidate", "origin": "search",
        "tokens": 200, "score": 0.25, "low": 0.25, "high": 0.25, "seeds": 1,
    }  # fmt: skip


def test_curves_of_texts_that_differ_in_length_are_joined_by_step() -> None:
    runs = tuple(
        result(seed=seed, curve=(Point(step=5, tokens=200 + 20 * seed, loss=1.0, score=seed / 2),))
        for seed in (0, 1)
    )
    (row,) = curves.table([record(results=runs)])
    assert (row.tokens, row.seeds) == (210, 2)
    assert (row.low, row.score, row.high) == (0.0, 0.25, 0.5)


def test_runs_of_a_confirmation_know_their_candidates() -> None:
    names = ("#1 found", "deltanet", "gla", "#1 found, wiring of gla")
    records = reading.grouped(result(name=name, key=name) for name in names)
    assert [(each.number, each.origin, reading.label(each)) for each in records] == [
        (1, "search", "#1 found"),
        (0, "baseline", "deltanet"),
        (2, "baseline", "gla"),
    ]


def test_a_rate_that_was_left_after_one_seed_does_not_count() -> None:
    """In a sweep the first seed has all rates; one that was lucky there would hide the others."""
    rates = {0.003: (0.9,), 0.01: (0.8, 0.6)}
    runs = [
        result(learning_rate=rate, seed=seed, score=score, validation=score)
        for rate, scores in rates.items()
        for seed, score in enumerate(scores)
    ]
    found = reading.results(record(results=tuple(runs), learning_rate=0.0), "mqar")
    assert [each.score for each in found] == [0.8, 0.6]


def test_ladder_table() -> None:
    metrics = {"accuracy/K=16": 0.5, "accuracy/K=4": 1.0, "floor/K=4": 0.25, "loss": 3.0}
    other = {"accuracy/K=16": 0.7, "accuracy/K=4": 0.8, "floor/K=4": 0.25, "accuracy/all": 0.1}
    runs = (result(metrics=metrics), result(seed=1, metrics=other))
    rows = ladder.table([record(results=runs)])
    assert not any(row.beyond for row in rows)
    assert [(row.panel, row.rung, row.seeds, row.floor) for row in rows] == [
        ("mqar, K", 4.0, (1.0, 0.8), 0.25),
        ("mqar, K", 16.0, (0.5, 0.7), None),
    ]
    assert [row.accuracy for row in rows] == pytest.approx([0.9, 0.6])


def test_ladder_marks_rungs_beyond_training_and_prefers_the_trained_of_two() -> None:
    metrics = {"accuracy/K=8,L=99": 0.1, "accuracy/K=8": 0.9, "accuracy/K=64,L=256": 0.3}
    runs = (result(metrics=metrics | {"floor": 0.5, "floor/K=8": 0.125, "accuracy/trained": 1.0}),)
    rows = ladder.table([record(results=runs)])
    assert [(row.rung, row.accuracy, row.floor, row.beyond) for row in rows] == [
        (8.0, 0.9, 0.125, False),
        (64.0, 0.3, 0.5, True),
    ]


def test_bits_table(tmp_path: Path) -> None:
    def run(value: float, seed: int) -> Result:
        metrics = {"bits_per_byte": value, "floor/unigram": 4.5 + seed, "bits_per_byte/recall": 1.0}
        return result("text", 0.5, seed=seed, metrics=metrics)

    records = [record(results=(run(2.0, 0), run(3.0, 1)))]
    records += [record(1, "search", results=(run(2.4, 0),)), record(2, results=(result(),))]
    records.append(record(3, "random", results=(run(2.6, 0),)))
    assert bits.table(records) == [
        ("text", "#1 candidate", "candidate", 2.4, (2.4,)),
        ("text", "m0", "known memory", 2.5, (2.0, 3.0)),
        ("text", "#3 candidate", "random arm", 2.6, (2.6,)),
        ("text", "unigram", "counting", pytest.approx(4.75), (pytest.approx(4.75),)),
    ]
    assert [file.name for file in plots.plot("bits", records, tmp_path)] == ["bits.svg", "bits.png"]


def test_outcomes_table() -> None:
    records = [
        scoring(0, 0.3, origin="baseline"),
        scoring(3, 0.4),
        record(1, "search", **LOST),
        scoring(2, 0.6),
        scoring(4, 0.2, origin="random"),
    ]
    assert [(row.number, row.status, row.score, row.best) for row in outcomes.table(records)] == [
        (0, "ok", 0.3, 0.3),
        (1, "diverged", None, None),
        (2, "ok", 0.6, 0.6),
        (3, "ok", 0.4, 0.6),
        (4, "ok", 0.2, 0.2),
    ]


# Figures and files


OF_A_STUDY = {
    *("objectives", "frontier", "curves", "ladder", "heatmap", "landscape", "importance"),
    *("interaction", "history", "outcomes", "timeline", "forest", "rescored"),
}
CONFIRMED = [
    Finding(topic="rescored", subject="#9 a", role="finalist", numbers={"search": 1, "again": 2}),
    Finding(topic="lead", subject="#9 a", against="gla", mean=0.1, low=-0.1, high=0.3),
]


def by_number(records: Sequence[TrialRecord]) -> list[list[float]]:
    """Memories as far from each other as their numbers."""
    return [[abs(one.number - other.number) for one in records] for other in records]


def test_every_figure_is_drawn_and_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    records = synthetic(20, seeds=2)
    drawn: set[str] = set()
    for name, kind in plots.figures().items():
        assert kind.summary.endswith(".")
        first = plots.plot(name, records, tmp_path / "first", CONFIRMED, by_number)
        assert {file.suffix for file in first} in (set(), {".svg", ".png"})
        assert all(file.name.startswith(name) for file in first)
        drawn |= {name} if first else set()
    assert drawn >= OF_A_STUDY
    again = plots.plot("ladder", records, tmp_path / "again")
    for file in again:
        assert file.read_bytes() == (tmp_path / "first" / file.name).read_bytes()
        assert b"1970" not in file.read_bytes() and b"dc:date" not in file.read_bytes()


def test_unknown_figure_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="no figure 'frontiers': choose one of addresses, bits"):
        plots.panels("frontiers", [])


NEW_FIGURE = '''"""Trials, counted."""
from typing import NamedTuple
class Row(NamedTuple):
    panel: str
    trials: int
def table(records):
    return [Row("all", len(records))]
def draw(axes, rows):
    axes.plot([rows[0].trials])
'''
USE = """
import sys
from pathlib import Path
from miras import plots
print(sorted(plots.figures()))
Path("study").mkdir()
print(plots.write(Path("study")).name, "Trials, counted" in Path("study/report.html").read_text())
print({"torch", "optuna", "matplotlib.pyplot"} & set(sys.modules))
"""


def test_a_new_figure_is_one_new_file_and_figures_need_no_torch(tmp_path: Path) -> None:
    package = tmp_path / "miras"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "miras" / "result.py", package)
    shutil.copytree(ROOT / "plots", package / "plots")
    (package / "plots" / "counted.py").write_text(NEW_FIGURE)
    command = [sys.executable, "-W", "error", "-c", USE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    names, report, heavy = done.stdout.splitlines()
    assert "'counted'" in names and "'frontier'" in names
    assert (report, heavy) == ("report.html True", "set()")


def test_records_to_plot_from_a_folder_or_a_file(tmp_path: Path) -> None:
    append(tmp_path / "results.jsonl", result("mqar", 0.4))
    append(tmp_path / "results.jsonl", result("mqar", 0.6, seed=1))
    assert [trial.objectives for trial in plots.records(tmp_path)] == [{"mqar": 0.5}]
    append(tmp_path / "trials.jsonl", record(7))
    assert [trial.number for trial in plots.records(tmp_path)] == [7]
    assert plots.records(tmp_path / "trials.jsonl") == plots.records(tmp_path)
    files = plots.draw("outcomes", tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "figures/outcomes.svg",
        "figures/outcomes.png",
    ]
    with pytest.raises(ValueError, match="nothing yet that the figure importance could show"):
        plots.draw("importance", tmp_path)
    with pytest.raises(ValueError, match="run a study first"):
        plots.records(tmp_path / "nothing")
