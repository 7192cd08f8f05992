"""The numbers behind figures of comparisons: capacity, length, and the needle."""

from typing import Any

import pytest
from plot_cases import record, result

from miras.plots import capacity, lengths, needle, panels, setups
from miras.result import Result, TrialRecord

DIM = {"dim": 64, "layers": 2}


def run(seed: int = 0, state: int = 800, rate: float = 0.01, **changes: Any) -> Result:
    """A run on MQAR, of which the task and its metrics may be another."""
    settings = {"shell": DIM, "task": {"rungs": [[32, 4], [64, 8]]}}
    metrics = {"accuracy/K=4": 1.0, "accuracy/K=8": 0.5, "floor/K=4": 0.25, "score/K=8": 0.4}
    fields: dict[str, Any] = {"settings": settings, "metrics": metrics}
    fields |= {"seed": seed, "state_floats": state, "learning_rate": rate}
    return result(**(fields | changes))


def memory(number: int, *runs: Result) -> TrialRecord:
    return record(number, results=runs, name=f"m{number}")


def test_mean_is_students_interval_within_what_scores_can_be() -> None:
    assert setups.mean([0.4]) == (0.4, 0.4, 0.4, (0.4,))
    found = setups.mean([0.4, 0.5, 0.6])
    half = 4.302653 * 0.1 / 3**0.5
    assert found[:3] == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert setups.mean([0.0, 1.0])[1:3] == (0.0, 1.0)


def test_setups_keep_shells_apart_and_take_the_rate_of_most_seeds() -> None:
    other = {"shell": DIM | {"layers": 1}, "task": {"rungs": [[32, 4], [64, 8]]}}
    records = [
        memory(
            0,
            run(0, score=0.5),
            run(1, score=0.5),
            run(0, rate=0.3, score=0.9),  # better, of one seed
            run(0, settings=other, score=0.1),
        ),
        memory(1, run(0)),
    ]
    two, one = setups.setups(records)
    assert (two.title, one.title) == ("mqar, layers 2", "mqar, layers 1")
    assert [[each.learning_rate for each in member.runs] for member in two.members] == [
        [0.01, 0.01],
        [0.01],
    ]
    assert [member.record.number for member in one.members] == [0]


def test_capacity_compares_memories_of_equal_state() -> None:
    low = {"accuracy/K=4": 0.6, "accuracy/K=8": 0.1, "accuracy/K=8,L=99": 0.0}
    records = [
        memory(0, run(0, 800), run(1, 800, metrics=low)),
        memory(1, run(0, 832)),
        memory(2, run(0, 9000)),
        memory(3, run(0, 100)),
    ]
    rows = capacity.table(records)
    assert {row.panel for row in rows} == {"mqar: 800 to 832 floats of state"}
    assert [(row.name, row.load, row.accuracy, row.equal, row.floor) for row in rows] == [
        ("m0", 4, 0.8, True, None),
        ("m0", 8, 0.3, True, None),
        ("m1", 4, 1.0, True, 0.25),
        ("m1", 8, 0.5, True, None),
        ("m2", 4, 1.0, False, 0.25),
        ("m2", 8, 0.5, False, None),
    ]
    assert (rows[0].low, rows[0].high, rows[0].seeds) == (0.0, 1.0, (1.0, 0.6))
    assert capacity.table(records[1:]) == []  # none of equal state


def test_lengths_are_multiples_of_the_trained_one() -> None:
    recall = {"score/K=8": 0.8, "score/K=8,L=128": 0.4, "score/K=16,L=128": 0.1, "score/K=4": 1.0}
    tracked = {"accuracy/trained": 0.9, "floor": 0.5, "score/L=64": 0.5, "score/L=128": 0.1}
    settings = {"shell": DIM, "task": {"longest": 32}}
    records = [
        memory(0, run(0, metrics=recall), run(1, metrics=recall | {"score/K=8": 0.6})),
        memory(1, run(task="parity", settings=settings, metrics=tracked)),
        memory(2, run(metrics={"score/K=4": 1.0, "score/K=8": 1.0})),  # nothing longer
    ]
    rows = lengths.table(records)
    assert [(row.panel, row.name, row.trained, row.multiple, row.score) for row in rows] == [
        ("mqar, K=8", "m0", 64, 1, pytest.approx(0.7)),
        ("mqar, K=8", "m0", 64, 2, 0.4),
        ("parity", "m1", 32, 1, pytest.approx(0.8)),
        ("parity", "m1", 32, 2, 0.5),
        ("parity", "m1", 32, 4, 0.1),
    ]


def test_needle_by_depth_and_length() -> None:
    metrics = {
        "accuracy/d=7": 0.9, "floor/d=7": 0.25, "floor/d=7,L=256": 0.3,
        "accuracy/depth=0.1/d=7": 0.8, "accuracy/depth=0.9/d=7": 1.0,
        "accuracy/depth=0.1/d=7,L=256": 0.2, "accuracy/depth=0.9/d=7,L=256": 0.7,
    }  # fmt: skip
    settings = {"shell": DIM, "task": {"rungs": [[128, 7]]}}
    runs = [
        run(seed, task="needle", settings=settings, metrics=metrics | {key: value})
        for seed, (key, value) in enumerate(
            [("accuracy/depth=0.1/d=7", 0.6), ("accuracy/depth=0.5/d=7", 1.0)]
        )
    ]
    records = [memory(0, *runs), memory(1, run())]
    rows = needle.table(records)
    assert [(row.length, row.depth, row.accuracy, row.trained, row.floor) for row in rows] == [
        (128, 0.1, pytest.approx(0.7), True, 0.25),
        (128, 0.9, 1.0, True, 0.25),
        (256, 0.1, 0.2, False, 0.3),
        (256, 0.9, 0.7, False, 0.3),
    ]
    assert {row.panel for row in rows} == {"m0, needle"}
    (panel,) = panels("needle", records)
    assert panel.name == "needle"
