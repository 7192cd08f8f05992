"""Who goes on: decisions about tables of scores, by hand."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from miras.search.rungs import Entry, Rules, agreement, decide

RULES = Rules(keep=(0.5,), cohort=4, trials=8, agreement=0.3)


def entry(
    slot: int, *values: float | tuple[float, ...], origin: str = "search", **more: Any
) -> Entry:
    rows = tuple(value if isinstance(value, tuple) else (value,) for value in values)
    return Entry(slot, origin, rows, **({"waiting": True} | more))


def told(rules: Rules, entries: Iterable[Entry]) -> dict[int, str]:
    return dict(sorted(decide(rules, list(entries)).items()))


def test_better_half_of_a_cohort_goes_on() -> None:
    scores = [0.2, 0.8, 0.6, 0.4]
    found = told(RULES, (entry(slot, score) for slot, score in enumerate(scores)))
    assert found == {0: "stopped", 1: "promoted", 2: "promoted", 3: "stopped"}


def test_nobody_is_judged_before_the_cohort_is_there() -> None:
    three = [entry(slot, slot / 10) for slot in range(3)]
    assert told(RULES, three) == {}
    assert told(RULES, [*three, entry(3, ended=True)])[2] == "promoted"  # 3 has failed


def test_later_cohorts_are_measured_against_all_before() -> None:
    first = [entry(slot, 0.9, 0.9, ended=True, waiting=False) for slot in range(4)]
    second = [
        entry(slot, score) for slot, score in zip(range(4, 8), (0.1, 0.95, 0.2, 0.3), strict=True)
    ]
    assert told(RULES, first + second) == {4: "stopped", 5: "promoted", 6: "stopped", 7: "stopped"}


def test_last_cohort_may_be_smaller() -> None:
    rules = RULES._replace(trials=6)
    first = [entry(slot, 0.5, 0.5, ended=True, waiting=False) for slot in range(4)]
    assert told(rules, [*first, entry(4, 0.1), entry(5, 0.9)]) == {4: "stopped", 5: "promoted"}


@pytest.mark.parametrize("origin", ["baseline", "null", "random"])
def test_what_is_a_measure_for_others_goes_on(origin: str) -> None:
    others = [entry(slot, 0.9) for slot in range(3)]
    assert told(RULES, [*others, entry(3, 0.11, origin=origin)])[3] == "promoted"


def test_known_memories_take_no_place_of_a_candidate() -> None:
    known = [entry(slot, 0.9, origin="baseline") for slot in range(2)]
    found = told(RULES, [*known, entry(2, 0.5), entry(3, 0.4)])
    assert found == {0: "promoted", 1: "promoted", 2: "promoted", 3: "stopped"}


def test_all_go_on_while_the_known_ones_stand_on_the_floor() -> None:
    entries = [entry(0, 0.02, origin="baseline"), entry(1, 0.3), entry(2, 0.2), entry(3, 0.1)]
    assert set(told(RULES, entries).values()) == {"promoted"}


def test_several_objectives_count_by_front() -> None:
    scores = [(0.9, 0.1), (0.1, 0.9), (0.5, 0.05), (0.05, 0.5)]
    found = told(RULES, (entry(slot, score) for slot, score in enumerate(scores)))
    assert found == {0: "promoted", 1: "promoted", 2: "stopped", 3: "stopped"}


def measured(count: int, order: int) -> list[Entry]:
    """Random candidates whose scores on the two rungs rise together, or against each other."""
    return [
        entry(s, (s + 20) / 60, (30 + order * s) / 60, origin="random", ended=True, waiting=False)
        for s in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "order", "stops"), [(20, 1, True), (20, -1, False), (16, -1, True)]
)
def test_rung_that_foretells_nothing_stops_nobody(count: int, order: int, stops: bool) -> None:
    rules = RULES._replace(trials=count + 4)
    fresh = [entry(count + place, place / 100) for place in range(4)]
    found = told(rules, measured(count, order) + fresh)
    assert ("stopped" in found.values()) == stops


def test_agreement_leaves_out_those_who_were_chosen() -> None:
    chosen = [entry(99, 0.9, 0.1, ended=True, waiting=False)]
    assert agreement(measured(20, 1) + chosen, 0, 1) == (20, pytest.approx(1.0))
    assert agreement([], 0, 1) == (0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_decisions_do_not_depend_on_who_is_ready_first(seed: int) -> None:
    """Three rungs played with slots that end in random orders: each is decided the same."""
    rules = Rules(keep=(0.5, 0.5), cohort=4, trials=20, agreement=-1.0)
    chance = random.Random(1)
    final = [[(chance.random(), chance.random()) for _ in range(3)] for _ in range(rules.trials)]

    def played(order: random.Random) -> dict[int, int]:
        passed, ended = dict.fromkeys(range(rules.trials), 0), set[int]()
        running = set(range(rules.trials))
        while len(ended) < rules.trials:
            slot = order.choice(sorted(running))
            running.remove(slot)
            passed[slot] += 1
            ended |= {slot} if passed[slot] == 3 else set()
            entries = [
                entry(
                    s,
                    *final[s][:count],
                    ended=s in ended,
                    waiting=s not in running and s not in ended,
                )
                for s, count in passed.items()
            ]
            for other, decision in decide(rules, entries).items():
                (running if decision == "promoted" else ended).add(other)
        return passed

    assert played(random.Random(seed)) == played(random.Random(1000))
