"""The numbers behind the figures of a search: samplers beside each other, and workers."""

import itertools
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from plot_cases import LOST, record, scoring

from miras.lines import append
from miras.plots import draw, history, timeline
from miras.plots.study import apart
from miras.plots.style import canvas
from miras.result import Sitting, TrialRecord

# Samplers


def test_any_order_is_that_of_all_orders() -> None:
    scores = [0.1, 0.9, None, 0.4, 0.4]
    for tried in range(1, 6):
        bests = sorted(
            max((x for x in order if x is not None), default=-1.0)
            for order in itertools.permutations(scores, tried)
        )
        low, high = history.any_order(scores, tried)
        for end, share in ((low, history.LOW), (high, history.HIGH)):
            expected = bests[math.ceil(share * len(bests) / 1000) - 1]
            assert end == (None if expected < 0 else expected)


def test_history_counts_trials_of_each_sampler() -> None:
    by = {1: "tpe", 2: "evolution", 3: "tpe", 4: "random", 6: "tpe"}
    records = [scoring(0, 0.5, origin="baseline"), record(5, "null")]
    for number, name in by.items():
        trial = scoring(number, number / 10, origin="random" if name == "random" else "search")
        records.append(trial.model_copy(update={"proposed_by": name}))
    records[4] = records[4].model_copy(update=LOST)
    rows = [(row.sampler, row.tried, row.best) for row in history.table(records)]
    assert rows == [
        ("evolution", 1, 0.2),
        ("tpe", 1, 0.1),
        ("tpe", 2, 0.1),
        ("tpe", 3, 0.6),
        ("random", 1, 0.4),
        (history.KNOWN_BEST, 0, 0.5),
    ]
    figure = Figure()
    history.draw(figure.subplots(), history.table([*records, record(9, key="", **LOST)]))
    assert all(line.get_label() != "search" for line in figure.axes[0].lines)  # none was left
    lost = [each.model_copy(update=LOST if each.proposed_by == "tpe" else {}) for each in records]
    figure = Figure()
    history.draw(figure.subplots(), history.table(lost))
    assert "tpe, 3 trials: none with a score" in {line.get_label() for line in figure.axes[0].lines}
    silent = [scoring(1, 0.3), scoring(2, 0.4, origin="random")]
    assert [row.sampler for row in history.table(silent)] == ["search", "random"]
    assert history.table(records[:1]) == []
    later = [each.model_copy(update={"study": "later"}) for each in silent]
    several = [(row.study, row.sampler) for row in history.table(silent, [later])]
    assert several == [("s", "search"), ("s", "random"), ("later", "search"), ("later", "random")]
    stranger = record(objectives={"tracking": 0.5})
    assert history.letters(history.table(records)) == {"s": ""}
    with pytest.raises(ValueError, match="studies of other objectives cannot be compared"):
        history.table(silent, [[stranger]])


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [tmp_path / "x/run", tmp_path / "y/run", tmp_path / "z/other", tmp_path / "w/mine"]
    for run in runs:
        run.mkdir(parents=True)
    records = [record(0), record(1, "search")]
    others = [each.model_copy(update={"study": "else"}) for each in records]
    told = apart(runs, [records, records, records, others])
    assert [each[0].study for each in told] == ["s in x/run", "s in y/run", "s in other", "else"]
    assert apart(runs[:1], [records]) == [records] and apart(runs[:2], [[], records])[0] == []
    assert apart([runs[0], runs[0]], [records, records]) == [records, records]
    for run in runs[:2]:
        for each in records:
            append(run / "trials.jsonl", each)
    draw("history", runs[0], others=runs[1:2])
    text = (runs[0] / "figures/history.svg").read_text()
    assert "A: s in x/run" in text and "B: s in y/run" in text


def test_history_of_studies_with_letters_and_one_line_for_what_they_know_alike() -> None:
    first = [scoring(0, 0.5, origin="baseline"), scoring(1, 0.3)]
    later = [each.model_copy(update={"study": "later"}) for each in first]
    better = scoring(0, 0.6, origin="baseline").model_copy(update={"study": "third"})
    rows = history.table(first, [later])
    assert history.letters(rows) == {"s": "A", "later": "B"}
    assert history.known_lines(rows) == [(0.5, "best known memory")]
    assert history.known_lines(history.table(first, [later, [better]])) == [
        (0.5, "A, B: best known memory"),
        (0.6, "C: best known memory"),
    ]
    with canvas(history.height(rows)) as (_, axes):
        history.draw(axes, rows)
    assert [text.get_text() for text in axes.texts] == [
        "best known memory", "A: search, 1 trial", "B: search, 1 trial",
    ]  # fmt: skip
    assert axes.get_legend_handles_labels()[1] == ["A: s", "B: later"]


# Workers


def sat(number: int, status: str, *times: tuple[str, float, float]) -> TrialRecord:
    sittings = tuple(Sitting(worker=w, started=s, ended=e) for w, s, e in times)
    return record(number, status=status, sittings=sittings)


def test_timeline_leaves_out_pauses_and_tells_rungs_apart() -> None:
    records = [
        sat(0, "ok", ("f/1", 1000.0, 1010.0), ("f/3", 5000.0, 5020.0)),
        sat(1, "diverged", ("f/2", 1002.0, 1030.0)),
        sat(2, "stopped", ("f/1", 1015.0, 1020.0)),
        record(3),
    ]
    rows = timeline.table(records)
    assert [row[1:6] for row in rows] == [
        ("worker 1", 0, timeline.PASSED, 0.0, 10.0),
        ("worker 2", 1, "diverged", 2.0, 30.0),
        ("worker 1", 2, "stopped", 15.0, 20.0),
        ("worker 1", 0, "ok", 30.0, 50.0),
    ]
    assert all(row.pauses == (30.0,) for row in rows)
    assert timeline.at_work(rows) == pytest.approx((10 + 28 + 5 + 20) / (20 + 28 + 20))
    assert timeline.table([record(3)]) == []
    with canvas(timeline.height(rows)) as (_, axes):
        timeline.draw(axes, rows)
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == (
        "Workers and trials",
        "seconds since the first trial began (dotted: pauses, left out)\n"
        "processes are at work 93 % of their time",
    )


def test_a_new_process_takes_the_line_of_one_that_never_comes_back() -> None:
    records = [
        sat(0, "ok", ("f/1", 0.0, 10.0), ("f/1", 40.0, 50.0)),
        sat(1, "ok", ("f/2", 1.0, 9.0)),
        sat(2, "ok", ("f/3", 20.0, 30.0)),  # the first comes back later, the second does not
        sat(3, "ok", ("f/4", 29.0, 60.0)),
        sat(4, "ok", ("f/5", 50.0, 70.0)),
    ]
    lines = {row.process: row.worker for row in timeline.table(records)}
    assert lines == {
        "f/1": "worker 1", "f/2": "worker 2", "f/3": "worker 2", "f/4": "worker 3",
        "f/5": "worker 1",
    }  # fmt: skip
