"""Figures of many trials, of trials that lack something, and of noise."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from plot_cases import record, scoring

from miras.lines import append
from miras.plots import fairness, heatmap, history, landscape, outcomes
from miras.plots.confirmation import rescored
from miras.plots.study import load
from miras.result import Finding, TrialRecord


def choosing(number: int, objectives: dict[str, float], **slots: str) -> TrialRecord:
    memory = {slot: {"kind": kind} for slot, kind in slots.items()}
    return record(number, "search", memory=memory, objectives=objectives)


def test_any_order_of_many_trials() -> None:
    """A thousand trials have more orders than a float has room for."""
    scores: list[float | None] = [float(n) for n in range(1100)]
    assert history.any_order(scores, 1100) == (1099, 1099)
    low, high = history.any_order(scores, 550)
    assert low is not None and high is not None and 1090 < low < high <= 1099


def test_half_a_trial_has_no_mean() -> None:
    whole, half = {"recall": 0.4, "tracking": 0.2}, {"recall": 0.9}
    kinds = [("matrix", "l2"), ("matrix", "dot"), ("mlp", "l2"), ("mlp", "dot")]
    records = [
        choosing(n, half if n == 3 else whole, architecture=one, bias=two)
        for n, (one, two) in enumerate(kinds)
    ]
    assert [row.best for row in history.table(records)] == pytest.approx([0.3] * 4)
    assert [row.score for row in outcomes.table(records)][3] is None
    assert [row.scored for row in heatmap.table(records)].count(0) == 1

    def far(chosen: Any) -> list[list[float]]:
        return [[float(i != j) for i in range(len(chosen))] for j in range(len(chosen))]

    shown = landscape.table(records, far)
    assert [row.score is None for row in shown] == [row.name[:2] == "#3" for row in shown]


def test_fresh_seeds_have_a_bar_only_of_the_same_mean() -> None:
    found: list[Finding] = []
    for name, mean in (("#1 a", 0.6), ("#2 b", 0.5)):
        numbers = {"search": 0.8, "again": 0.6}
        found.append(Finding(topic="rescored", subject=name, role="finalist", numbers=numbers))
        found.append(
            Finding(topic="score", subject=name, where="own", mean=mean, low=0.4, high=0.7)
        )
    bars = [(row.low, row.high) for row in rescored.table(found)]
    assert bars == [(0.4, 0.7), (None, None)]


def test_heatmap_prefers_a_true_effect_to_many_singletons() -> None:
    noise = random.Random(0)
    records: list[TrialRecord] = []
    for n in range(48):
        one, two = n % 2, n // 2 % 2
        slots = {"architecture": f"a{one}", "bias": f"b{two}"}
        slots |= {"retention": f"r{noise.randrange(9)}", "optimizer": f"o{noise.randrange(6)}"}
        score = 0.2 * (one == two) + noise.gauss(0.5, 0.1)
        records.append(choosing(n, {"recall": score}, **slots))
    panels = list(dict.fromkeys(row.panel for row in heatmap.table(records)))
    assert panels[0] == "architecture × bias" and len(panels) == 6


def test_fairness_tells_of_rungs_and_of_sizes(tmp_path: Path) -> None:
    records = [record(0), scoring(1, 0.6, size=4096), record(2, "search", status="stopped")]
    manifest = {"name": "s", "match": {"parameters": 0.1}}
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    for each in records:
        append(tmp_path / "trials.jsonl", each)
    told = fairness.sentences(load(tmp_path))
    assert told[0].endswith("length of training, but for 1 trial stopped early at a rung.")
    assert any(each.startswith("Sizes differ: ") for each in told)
