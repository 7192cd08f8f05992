"""The numbers of every figure, and the report as a stranger's browser would take it."""

import json
import math
import random
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from miras import plots
from miras.plots import (
    certainty,
    curves,
    frontier,
    importance,
    ladder,
    objectives,
    outcomes,
    reading,
    tables,
)
from miras.plots import page as pages
from miras.plots.pareto import front
from miras.plots.study import duration, moment, words
from miras.plots.style import apart
from miras.result import Point, Result, TrialRecord, append

ROOT = Path(__file__).parent.parent


# Records by hand


def result(task: str = "mqar", score: float | None = 0.5, **changes: Any) -> Result:
    """One run: its validation curve ends at the score after 200 and 400 tokens."""
    end = score or 0.0
    curve = (
        Point(step=1, tokens=200, loss=2.0, score=end / 2),
        Point(step=2, tokens=400, loss=1.0, score=end),
    )
    fields: dict[str, Any] = {
        "name": "a",
        "key": "a",
        "memory": {},
        "task": task,
        "settings": {},
        "seed": 0,
        "learning_rate": 0.001,
        "score": score,
        "curve": curve,
        "parameters": 1000,
        "state_floats": 512,
    }
    return Result(**(fields | changes))


def record(number: int = 0, origin: str = "baseline", **changes: Any) -> TrialRecord:
    """One trial; the objective `recall` is its only one unless `objectives` says otherwise."""
    fields: dict[str, Any] = {
        "study": "s",
        "number": number,
        "origin": origin,
        "name": f"m{number}" if origin == "baseline" else "candidate",
        "key": f"k{number}",
        "memory": {},
        "choices": {},
        "objectives": {"recall": 0.5},
        "results": (result(),),
        "seconds": 10.0,
    }
    return TrialRecord(**(fields | changes))


def scoring(number: int, score: float, size: int = 512, origin: str = "search") -> TrialRecord:
    """A trial with this score and this state."""
    runs = (result(score=score, state_floats=size),)
    return record(number, origin, objectives={"recall": score}, results=runs)


def seeded(number: int, scores: list[float], origin: str = "search") -> TrialRecord:
    """A trial with one run for each seed; its objective is their mean."""
    runs = tuple(result(score=score, seed=seed) for seed, score in enumerate(scores))
    return record(number, origin, objectives={"recall": sum(scores) / len(scores)}, results=runs)


LOST = {"status": "diverged", "reason": "the loss was not finite", "objectives": {}, "results": ()}


# A made-up study

TASKS = {"recall": "mqar", "tracking": "parity"}
KNOWN = ["softmax-attention", "linear-attention", "gla", "deltanet", "gated-deltanet", "titans-lmm"]
RUNGS = {"mqar": ("K", (4, 8, 16, 32)), "parity": ("length", (32, 64, 128, 256))}


def synthetic(trials: int = 20, seeds: int = 1, diverging: float = 0.15) -> list[TrialRecord]:
    """A made-up study in which the bias decides recall and the optimizer half of tracking."""
    dice = random.Random(7)
    return [_trial(number, dice, seeds, diverging) for number in range(trials)]


def _trial(number: int, dice: random.Random, seeds: int, diverging: float) -> TrialRecord:
    twin = number == len(KNOWN)
    known = number < len(KNOWN)
    origin = "baseline" if known else "random" if number % 6 == 5 else "search"
    slots: dict[str, Any] = {
        "architecture": {"kind": dice.choice(["matrix", "matrix", "mlp"])},
        "bias": {"kind": dice.choice(["dot", "l2", "huber"])},
        "retention": {"kind": dice.choice(["none", "decay", "lq"])},
        "optimizer": {"kind": dice.choice(["gd", "momentum"]), "step": "sigmoid"},
    }
    name = "-".join(part["kind"] for part in slots.values())
    name = KNOWN[number] if known else "deltanet" if twin else name
    lost = not known and dice.random() < diverging
    level = {
        "mqar": {"dot": 0.45, "l2": 0.8, "huber": 0.75}[slots["bias"]["kind"]],
        "parity": 0.25 + 0.3 * (slots["optimizer"]["kind"] == "momentum"),
    }
    size = 16384 if name == "softmax-attention" else dice.choice([512, 1024, 2048])
    rate = 10 ** dice.uniform(-3.5, -2)
    runs = tuple(
        _run(task, level[task] + dice.gauss(0, 0.05), seed, rate, size, lost)
        for task in TASKS.values()
        for seed in range(seeds)
    )
    means = {
        objective: sum(run.score or 0 for run in runs if run.task == task) / seeds
        for objective, task in TASKS.items()
    }
    return record(
        number,
        "null" if twin else origin,
        name=name,
        key="k3" if twin else f"k{number}",
        memory=slots,
        choices={} if known or twin else {slot: part["kind"] for slot, part in slots.items()},
        objectives={} if lost else means,
        results=runs,
        learning_rate=rate,
        status="diverged" if lost else "ok",
        reason="the loss was not finite at step 120" if lost else "",
        equals=("deltanet",) if number == 14 else (),
        seconds=10.0 * seeds,
    )


def _run(task: str, score: float, seed: int, rate: float, size: int, lost: bool) -> Result:
    score = min(1.0, max(0.0, score))
    difficulty, rungs = RUNGS[task]
    metrics = {f"accuracy/{difficulty}={rung}": score ** (rung / 32) for rung in rungs}
    metrics |= {
        f"floor/{difficulty}={rung}": 0.5 if task == "parity" else 1 / rung for rung in rungs
    }
    curve = tuple(
        Point(step=i, tokens=100_000 * i, loss=3 - i / 4, score=score * (1 - math.exp(-i / 2)))
        for i in range(1, 9)
    )
    return result(
        task,
        None if lost else score,
        metrics=metrics,
        curve=curve,
        seed=seed,
        learning_rate=rate,
        state_floats=size,
        status="diverged" if lost else "ok",
    )


# Quantities


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1, 1)], [True]),
        ([(1, 2), (2, 1), (1, 1)], [True, True, False]),
        ([(1, 2), (1, 2)], [True, True]),
        ([(1, 2), (1, 3)], [False, True]),
        ([(3, -8), (3, -4), (5, -16), (2, -2)], [False, True, True, True]),
    ],
)
def test_front(points: list[tuple[float, float]], expected: list[bool]) -> None:
    assert front(points) == expected


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.5], [0.4, 0.5, 0.6]),
        ([0.8, 0.5, 0.52], [0.8, 0.46, 0.56]),
        ([1.0, 1.0], [0.9, 1.0]),
        ([0.0, 0.0], [0.0, 0.1]),
        ([], []),
    ],
)
def test_names_move_apart_as_little_as_needed(places: list[float], expected: list[float]) -> None:
    assert apart(places, 0.1) == pytest.approx(expected)


def test_wilson_against_scipy() -> None:
    for successes, trials in [(0, 3), (3, 3), (2, 3), (8, 10), (50, 100)]:
        expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
        found = reading.wilson(successes, trials)
        assert found == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert reading.wilson(0, 0) == (0.0, 1.0)


def test_interval_is_one_standard_error() -> None:
    assert reading.interval(0.5, [0.5]) == (0.5, 0.5, 1)
    low, high, seeds = reading.interval(0.5, [0.4, 0.5, 0.6])
    assert (low, high, seeds) == pytest.approx((0.5 - 0.1 / 3**0.5, 0.5 + 0.1 / 3**0.5, 3))


def test_learning_rate_is_chosen_by_validation_and_never_by_test() -> None:
    def run(rate: float, validation: float, test: float) -> Result:
        return result(
            score=test,
            learning_rate=rate,
            curve=(Point(step=1, tokens=1, loss=1.0, score=validation),),
        )

    runs = (run(0.01, 0.3, 0.9), run(0.001, 0.6, 0.5), run(0.0001, 0.4, 0.8))
    assert reading.task_score(record(results=runs), "mqar") == 0.5
    assert reading.task_score(record(results=runs, learning_rate=0.01), "mqar") == 0.9


def test_tasks_of_an_objective_are_found_in_the_numbers() -> None:
    def trial(number: int, a: float, b: float, c: float) -> TrialRecord:
        runs = (result("mqar", a), result("copy", b), result("parity", c))
        mean = {"recall": (a + b) / 2, "tracking": c, "mqar": 0.1, "odd": 0.123}
        return record(number, results=runs, objectives=mean)

    records = [trial(0, 0.2, 0.6, 0.3), trial(1, 0.9, 0.5, 0.4)]
    expected = {"recall": ("mqar", "copy"), "tracking": ("parity",), "mqar": ("mqar",), "odd": ()}
    assert {name: reading.tasks_of(records, name) for name in expected} == expected
    assert reading.tasks_of(records, reading.MEAN) == ()
    assert reading.tasks_of([], "recall") == ()


def test_labels() -> None:
    assert reading.label(record(3)) == "m3"
    assert reading.label(record(3, "search", name="huber")) == "#3 huber"
    assert reading.label(record(3, "search", name="candidate-3")) == "candidate-3"
    assert reading.label(record(3, "null", name="gla")) == "gla, again"
    assert len(reading.label(record(3, "random", name="x" * 80))) == 26


def test_failed_trials_and_infinite_scores_have_no_score() -> None:
    records = [record(0), record(1, **LOST), record(2, objectives={"recall": math.inf})]
    assert [value for _, value in reading.scored(records, "recall")] == [0.5]


def test_single_results_become_records() -> None:
    runs = [result("mqar", 0.2, seed=0), result("mqar", 0.4, seed=1), result("parity", 0.9)]
    runs += [result("mqar", None, status="diverged", reason="NaN", key="b", name="b")]
    first, second = reading.grouped(runs)
    assert first.objectives == pytest.approx({"mqar": 0.3, "parity": 0.9})
    assert (first.name, first.status, len(first.results)) == ("a", "ok", 3)
    assert (second.name, second.status, second.reason) == ("b", "diverged", "NaN")


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
    assert [(row.name, row.state_floats, row.score, row.on_front) for row in rows] == [
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
    assert (first.tokens, first.seeds, first.candidate) == (200, 2, False)
    assert (first.low, first.score, first.high) == pytest.approx((0.2, 0.3, 0.4))
    assert rows[2]._asdict() == {
        "panel": "mqar", "number": 5, "name": "#5 candidate", "candidate": True,
        "tokens": 200, "score": 0.25, "low": 0.25, "high": 0.25, "seeds": 1,
    }  # fmt: skip


def test_ladder_table() -> None:
    metrics = {"accuracy/K=16": 0.5, "accuracy/K=4": 1.0, "floor/K=4": 0.25, "loss": 3.0}
    other = {"accuracy/K=16": 0.7, "accuracy/K=4": 0.8, "floor/K=4": 0.25, "accuracy/all": 0.1}
    runs = (result(metrics=metrics), result(seed=1, metrics=other))
    rows = ladder.table([record(results=runs)])
    assert [(row.panel, row.rung, row.seeds, row.floor) for row in rows] == [
        ("mqar, K", 4.0, (1.0, 0.8), 0.25),
        ("mqar, K", 16.0, (0.5, 0.7), None),
    ]
    assert [row.accuracy for row in rows] == pytest.approx([0.9, 0.6])


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


# Importance


def test_explained_by_hand() -> None:
    numpy = importance.np
    scores = numpy.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 1.0, 2.0]])
    member = numpy.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # row 0: within 1 of 2 degrees, total 5 of 3; row 1: within 0; row 2: within equals total
    assert importance.explained(scores, member) == pytest.approx([1 - 0.5 / (5 / 3), 1.0, -0.5])


def drawn(number: int, bias: str, noise: str, score: float, **extra: Any) -> TrialRecord:
    slots = {"bias": {"kind": bias}, "retention": {"kind": noise}, "name": "x"}
    return record(number, "search", memory=slots, objectives={"recall": score}, **extra)


def test_importance_finds_the_slot_that_decides_and_leaves_the_other() -> None:
    dice = random.Random(0)
    records = [
        drawn(n, bias, dice.choice("xy"), (0.8 if bias == "l2" else 0.4) + dice.gauss(0, 0.05))
        for n, bias in enumerate(["l2", "dot"] * 12)
    ]
    first, second = importance.table(records)
    assert (first.slot, first.choices, first.memories, first.best) == ("bias", 2, 24, "l2")
    assert first.explained > 0.85 and first.explained > first.high and first.probability < 0.001
    assert second.slot == "retention" and second.low <= second.explained <= second.high
    assert importance.table(records) == [first, second]


def test_importance_of_noise_is_rarely_beyond_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "SHUFFLES", 200)
    dice, beyond = random.Random(2), 0
    for _ in range(200):
        records = [drawn(n, dice.choice("abc"), "x", dice.random()) for n in range(15)]
        beyond += sum(row.explained > row.high for row in importance.table(records))
    assert 0 < beyond < 14  # 2.5 % of 200 are 5; 14 or more has probability 0.0005


def test_importance_needs_enough_memories_and_a_difference() -> None:
    few = [drawn(n, "ab"[n % 2], "x", n / 10) for n in range(importance.FEWEST - 1)]
    same = [drawn(n, "ab"[n % 2], "x", 0.5) for n in range(20)]
    own = [drawn(n, f"b{n}", "x", n / 20) for n in range(20)]
    assert [importance.table(records) for records in (few, same, own, [])] == [[], [], [], []]


def test_choices_come_from_the_memory_and_from_the_derivation() -> None:
    trial = record(
        1,
        "search",
        name="not a slot",
        memory={"name": "x", "bias": "l2", "retention": {"kind": "decay", "gate": "mamba"}},
        choices={
            "optimizer": "gd",
            "optimizer.gd.anchor": True,
            "a.b.c.d.e": 3,
            "learning_rate": 1.0,
        },
        learning_rate=0.01,
    )
    assert importance.choices(trial) == {
        "bias": "l2",
        "retention": "decay",
        "retention.gate": "mamba",
        "optimizer": "gd",
        "optimizer.anchor": "true",
        "a.c.e": 3,
        "learning rate": 0.01,
    }


def test_many_numbers_become_thirds() -> None:
    assert importance.levels([1.0, 2.0, 1.0]) == ["1", "2", "1"]
    names = importance.levels([float(n) for n in range(9)])
    assert names == ["below 3"] * 3 + ["3 to 6"] * 3 + ["from 6"] * 3


# How sure


def test_luck_of_the_best_as_published() -> None:
    found = [certainty.luck_of_best(count) for count in (10, 100, 500, 2000)]
    assert found == pytest.approx([1.54, 2.51, 3.04, 3.43], abs=0.02)
    assert certainty.luck_of_best(1) == certainty.luck_of_best(0) == 0.0


def test_pooled_deviation() -> None:
    assert certainty.pooled([[1.0], []]) == (0.0, 0)
    assert certainty.pooled([[1.0, 3.0], [5.0, 5.0, 5.0]]) == (pytest.approx((2 / 3) ** 0.5), 3)


@pytest.mark.parametrize("repeats", [2, 3, 10, 50])
def test_limit_of_the_noise_against_scipy(repeats: int) -> None:
    exact = 0.05 * math.sqrt(repeats / stats.chi2.ppf(0.1, repeats))
    assert certainty.Noise(0.05, repeats, "").at_most == pytest.approx(exact, rel=0.05)


def test_limit_of_the_noise_from_one_repeat_is_wide() -> None:
    assert certainty.Noise(0.05, 1, "").at_most > 0.05 * math.sqrt(1 / stats.chi2.ppf(0.1, 1))


def test_noise_prefers_repeated_memories_then_seeds() -> None:
    again = record(1, "null", key="k0", objectives={"recall": 0.7})
    found = certainty.noise([record(0), again], "recall")
    assert found and found.deviation == pytest.approx(0.2 / 2**0.5) and found.repeats == 1
    found = certainty.noise([seeded(0, [0.4, 0.6])], "recall")
    assert found and found.deviation == pytest.approx(0.1) and found.repeats == 1
    copy = record(1, "null", key="k0")
    assert certainty.noise([record(0), copy], "recall") is None


def many(*scores: float) -> list[TrialRecord]:
    return [scoring(10 + n, score) for n, score in enumerate(scores)]


REPEATED = [record(n, key="same", objectives={"recall": 0.5 + n / 100}) for n in range(6)]


@pytest.mark.parametrize(
    ("records", "start"),
    [
        ([record(0)], "No new memory finished"),
        (many(0.6), "No known memory finished"),
        ([record(0), *many(0.5, 0.4)], "No new memory beats"),
        ([record(0), *many(0.6)], "Ahead, but nothing was run twice"),
        ([*REPEATED, *many(0.56, 0.4, 0.4)], "Ahead by no more than"),
        ([*REPEATED, *many(0.76, 0.4, 0.4)], "Ahead by more than luck"),
    ],
)
def test_verdicts(records: list[TrialRecord], start: str) -> None:
    (verdict,) = certainty.verdicts(records)
    assert verdict.sentence.startswith(start)


def test_a_found_known_memory_is_not_new() -> None:
    twin = scoring(1, 0.9).model_copy(update={"equals": ("gla",)})
    (verdict,) = certainty.verdicts([record(0), twin])
    assert verdict.new is None and verdict.candidates == 0


# Tables of the report


def test_memories_table_over_seeds() -> None:
    records = [seeded(0, [0.4, 0.6], "baseline"), seeded(1, [0.95, 0.91])]
    table = tables.memories(records, "recall")
    assert table.rows == [
        ["#1 candidate", "0.930", "0.020", "2/2", "0.34–1.00", "512", "1,000", "10", "new"],
        ["m0", "0.500", "0.100", "0/2", "0.00–0.66", "512", "1,000", "10", "known"],
    ]


def test_front_over_all_objectives_and_state() -> None:
    def trial(number: int, recall: float, tracking: float, size: int) -> TrialRecord:
        scores = {"recall": recall, "tracking": tracking}
        runs = (result(state_floats=size),)
        return record(number, "search", objectives=scores, results=runs)

    records = [trial(0, 0.5, 0.5, 512), trial(1, 0.6, 0.4, 512), trial(2, 0.5, 0.4, 512)]
    records += [trial(3, 0.6, 0.5, 1024), trial(4, 0.6, 0.4, 1024)]
    names = [row[0] for row in tables.on_front(records).rows]
    assert names == ["#0 candidate", "#1 candidate", "#3 candidate"]


def test_failures_are_grouped() -> None:
    lost = [record(n, "search", **LOST) for n in range(8)]
    table = tables.failures([record(9, status="timed_out", reason=""), *lost])
    assert [row[:3] for row in table.rows] == [
        ["diverged", "8", "the loss was not finite"],
        ["timed out", "1", "no reason recorded"],
    ]
    assert str(table.rows[0][3]).endswith("#5 candidate and 2 more")


def test_manifest_in_words() -> None:
    assert words({"trials": 4, "rungs": [{"steps": 2}, {"steps": 9}]}) == (
        "trials 4, rungs ((steps 2), (steps 9))"
    )
    assert [words(value) for value in (None, True, 0.5, [], "x")] == [
        "not recorded", "yes", "0.5", "none", "x",
    ]  # fmt: skip
    assert moment(0) == "1970-01-01 00:00 UTC" and moment("today") == "today"
    assert [duration(s) for s in (3.2, 59, 95, 7260)] == [
        "3.2 s",
        "59 s",
        "1 min 35 s",
        "2 h 1 min",
    ]


# Figures and files


def test_every_figure_is_drawn_and_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    records = synthetic(20, seeds=2)
    for name, kind in plots.figures().items():
        assert kind.summary.endswith(".")
        first = plots.plot(name, records, tmp_path / "first")
        assert {file.suffix for file in first} == {".svg", ".png"}
        assert all(file.name.startswith(name) for file in first)
    again = plots.plot("ladder", records, tmp_path / "again")
    for file in again:
        assert file.read_bytes() == (tmp_path / "first" / file.name).read_bytes()
        assert b"1970" not in file.read_bytes() and b"dc:date" not in file.read_bytes()


def test_unknown_figure_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="no figure 'frontiers': choose one of curves, frontier"):
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
    with pytest.raises(ValueError, match="run a study first"):
        plots.records(tmp_path / "nothing")


# The report


class Page(HTMLParser):
    """Collects what a browser would fetch and checks that every element is closed."""

    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def study_folder(folder: Path, records: list[TrialRecord], **manifest: Any) -> Path:
    folder.mkdir()
    for trial in records:
        append(folder / "trials.jsonl", trial)
    if manifest:
        (folder / "study.json").write_text(json.dumps(manifest))
    return folder


def test_report_of_a_study(tmp_path: Path) -> None:
    records = synthetic(20)
    evil = '<script src="http://e/x.js"></script> | a & "b"'
    records[10] = records[10].model_copy(update={"name": evil, "objectives": {}, **LOST})
    manifest = {
        "name": "made-up", "objectives": ["recall", "tracking"], "budget": {"trials": 20},
        "shell": {"dim": 64, "layers": 2}, "finished": 1763716000.0, "started": 1763715000.0,
        "versions": {"torch": "2.13.0"}, "seconds": 1000.0,
    }  # fmt: skip
    folder = study_folder(tmp_path / "made-up", records, **manifest)
    (folder / "best.yaml").write_text("bias: {kind: huber}  # <best> ```\n")

    text = plots.write(folder).read_text()
    found = Page(text)
    drawn_files = sorted(path.name for path in (folder / "figures").glob("*.svg"))
    assert len(drawn_files) == found.tags.count("img") == 14
    assert all(source.startswith("data:image/svg+xml;base64,") for source in found.sources)
    assert "script" not in found.tags and "link" not in found.tags and "url(" not in text
    assert found.tags.count("table") == text.count('<div class="scroll"')
    assert found.headings == [
        "In short",
        "What was searched, and how",
        "Best memories of each objective",
        "How sure this is",
        "Pareto front",
        "Learning curves",
        "Accuracy by difficulty",
        "Which choices matter",
        "The search, and what failed",
        "The winner, to take away",
        "How to repeat it",
    ]
    counted = sum(trial.status != "ok" for trial in records)
    for words_expected in (
        "Finished 2025-11-21 09:06 UTC after 20 trials.",
        f"{counted} of 20 trials ended without a score",
        "One seed cannot tell a better memory from a luckier one",
        "the winner's curse",
        "# <best> ```",
        evil,
        "miras search studies/made-up.yaml",
        "miras train runs/made-up/best.yaml --task mqar",
        "dim 64, layers 2",
        "19, of them 12 new",
    ):
        assert words_expected in found.text

    markdown = (folder / "report.md").read_text()
    linked = [line.split("](")[1][:-1] for line in markdown.splitlines() if line.startswith("![")]
    assert len(linked) == 14 and all((folder / path).is_file() for path in linked)
    assert "\\<script" in markdown and "````\nbias: {kind: huber}" in markdown


def test_report_of_an_unfinished_study_says_so(tmp_path: Path) -> None:
    folder = study_folder(tmp_path / "s", [record(0), scoring(1, 0.6)], budget={"trials": 30})
    text = Page(plots.write(folder).read_text()).text
    assert "This study is not finished. Trials so far: 2 of 30." in text
    assert "Ahead, but nothing was run twice: it may be noise." in text
    assert "the noise of these scores is unknown" in text


@pytest.mark.parametrize(
    "manifest", [{}, {"name": "x", "objectives": ["recall"], "tasks": ["mqar"]}]
)
def test_report_without_trials_is_a_sentence(tmp_path: Path, manifest: dict[str, Any]) -> None:
    found = Page(plots.write(study_folder(tmp_path / "s", [], **manifest)).read_text())
    assert "No trial has finished yet" in found.text and "img" not in found.tags


def test_report_of_diverged_trials_alone(tmp_path: Path) -> None:
    folder = study_folder(tmp_path / "s", synthetic(20, diverging=1.0)[6:], finished="today")
    found = Page(plots.write(folder).read_text())
    assert "No trial ended with a score" in found.text
    assert "14 of 14 trials ended without a score" in found.text
    assert found.tags.count("img") == 1


def test_written_twice_a_report_is_the_same(tmp_path: Path) -> None:
    folder = study_folder(tmp_path / "s", [record(0), scoring(1, 0.6)])
    assert plots.write(folder).read_bytes() == plots.write(folder).read_bytes()


def test_damaged_study_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no study in .*: run `miras search` first"):
        plots.write(tmp_path / "nothing")
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ValueError, match=r"study\.json is not JSON"):
        plots.write(tmp_path)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        plots.write(tmp_path)


def test_numbers_stand_right_and_sentences_are_not_squeezed() -> None:
    table = pages.Table(("a", "b", "c"), [["x", "1,024", "w " * 40], ["y", "+0.5", "v"]])
    text = pages.to_html("t", [table])
    assert '<th>a</th><th class="n">b</th><th class="t">c</th>' in text
    assert '<td class="n">+0.5</td>' in text
