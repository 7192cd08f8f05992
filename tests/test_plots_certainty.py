"""Which choice matters and how sure a lead is: numbers against hand, scipy and chance."""

import random
from typing import Any

import pytest
from plot_cases import record, scoring, seeded

from miras.plots import certainty, importance, slots
from miras.result import TrialRecord

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
    assert slots.choices(trial) == {
        "bias": "l2",
        "retention": "decay",
        "retention.gate": "mamba",
        "optimizer": "gd",
        "optimizer.anchor": "true",
        "a.c.e": 3,
        "learning rate": 0.01,
    }


def test_a_default_left_out_is_known_from_a_derivation() -> None:
    written = record(0, memory={"bias": "dot", "architecture": "matrix"})
    silent = record(1, memory={"architecture": "matrix"})
    derived = record(2, "search", memory={"architecture": "matrix"}, choices={"bias": "l2"})
    found = slots.with_defaults([written, silent, derived])
    assert [found[number]["bias"] for number in range(3)] == ["dot", "l2", "l2"]
    assert found[1]["retention"] == "default"


def test_many_numbers_become_thirds() -> None:
    assert slots.levels([1.0, 2.0, 1.0]) == ["1", "2", "1"]
    names = slots.levels([float(n) for n in range(9)])
    assert names == ["below 3"] * 3 + ["3 to 6"] * 3 + ["from 6"] * 3


# How sure


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


def test_stopped_memories_were_tried_too() -> None:
    stopped = [each.model_copy(update={"status": "stopped"}) for each in many(0.3, 0.2)]
    (verdict,) = certainty.verdicts([*REPEATED, scoring(30, 0.6), *stopped])
    assert verdict.candidates == 3


def test_a_found_known_memory_is_not_new() -> None:
    twin = scoring(1, 0.9).model_copy(update={"equals": ("gla",)})
    (verdict,) = certainty.verdicts([record(0), twin])
    assert verdict.new is None and verdict.candidates == 0


@pytest.mark.parametrize(("times", "told"), [(1.0, False), (1.05, False), (4.0, True)])
def test_a_lead_with_a_larger_state_is_told_as_such(times: float, told: bool) -> None:
    old, new = record(0), scoring(11, 0.9)
    size = max(result.state_floats for result in old.results)
    runs = [run.model_copy(update={"state_floats": round(size * times)}) for run in new.results]
    (verdict,) = certainty.verdicts([old, new.model_copy(update={"results": runs})])
    assert (f"keeps {round(size * times):,} floats" in verdict.sentence) is told
