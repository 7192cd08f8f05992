"""The numbers behind the figures of a study: costs, and the space."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D
from plot_cases import LOST, record, result
from typer.testing import CliRunner

from miras import plots
from miras.cli import app
from miras.known import known
from miras.lines import append
from miras.plots import (
    costs,
    frontier,
    heatmap,
    importance,
    interaction,
    landscape,
)
from miras.plots.style import canvas
from miras.reporting import between
from miras.result import Finding, TrialRecord

# Costs


def costing(number: int, score: float, operations: float, speeds: list[float]) -> TrialRecord:
    """A trial on two tasks of 100 and 300 tokens; one speed for each seed."""
    runs = tuple(
        result(task, score, seed=seed, tokens=tokens, flops_per_token=each, tokens_per_second=speed)
        for seed, speed in enumerate(speeds)
        for task, tokens, each in (("mqar", 100, operations), ("parity", 300, operations + 40))
    )
    return record(number, "search", objectives={"recall": score}, results=runs)


def test_costs_are_means_over_all_tokens() -> None:
    trial = costing(0, 0.5, 100.0, [1000.0, 3000.0])
    found = {cost.name: costs.cost_of(trial, cost) for cost in costs.COSTS}
    assert found["state"] == (512, 512, 512) and found["parameters"] == (1000, 1000, 1000)
    assert found["operations"] == pytest.approx((130.0, 130.0, 130.0))
    assert found["speed"] == pytest.approx((2000.0, 1000.0, 3000.0))
    slower = result("mqar", 0.5, tokens=100, tokens_per_second=100.0)
    quicker = result("parity", 0.5, tokens=300, tokens_per_second=600.0)
    mixed = costs.cost_of(record(results=(slower, quicker)), costs.COSTS[3])
    assert mixed and mixed.mean == pytest.approx(400 / 1.5)  # tokens through seconds
    assert costs.cost_of(record(), costs.COSTS[2]) is None  # nobody counted


def test_frontier_has_a_panel_for_each_cost_that_differs() -> None:
    records = [
        costing(1, 0.7, 100.0, [50.0]),
        costing(2, 0.6, 300.0, [200.0]),
        costing(3, 0.5, 200.0, [100.0]),
    ]
    rows = frontier.table(records)
    assert [row.panel for row in rows[::3]] == ["recall", "recall, operations", "recall, speed"]
    assert [row.on_front for row in rows[3:6]] == [True, False, False]
    assert [row.size for row in rows[6:]] == [50.0, 200.0, 100.0]
    assert [row.on_front for row in rows[6:]] == [True, True, False]  # more speed is better


# The space


def choosing(number: int, score: float, **slots: str) -> TrialRecord:
    memory = {slot: {"kind": kind} for slot, kind in slots.items()}
    return record(number, "search", memory=memory, objectives={"recall": score})


def test_heatmap_counts_means_and_bests_of_each_cell() -> None:
    records = [
        choosing(0, 0.2, architecture="matrix", bias="l2"),
        choosing(1, 0.6, architecture="matrix", bias="l2"),
        choosing(2, 0.5, architecture="matrix", bias="dot"),
        choosing(3, 0.1, architecture="mlp", bias="l2"),
    ]
    records[2] = records[2].model_copy(update=LOST)
    again = choosing(4, 0.9, architecture="mlp", bias="l2").model_copy(update={"origin": "null"})
    rows = heatmap.table([*records, again])
    assert [row[2:] for row in rows] == [
        ("matrix", "dot", 1, 0, None, None),
        ("matrix", "l2", 2, 2, pytest.approx(0.4), 0.6),
        ("mlp", "l2", 1, 1, 0.1, 0.1),
    ]
    assert {row.panel for row in rows} == {"architecture × bias"}


def test_heatmap_keeps_frequent_choices_and_puts_the_rest_together() -> None:
    names = ["b0"] * 3 + [f"b{n}" for n in range(1, 15)]
    records = [
        choosing(n, n / 20, bias=name, architecture="ab"[n % 2]) for n, name in enumerate(names)
    ]
    rows = heatmap.table(records)
    assert {row.panel for row in rows} == {"bias × architecture"}
    down = list(dict.fromkeys(row.down for row in rows))
    assert len(down) == heatmap.TALLEST and down[0] == "b0" and down[-1] == heatmap.OTHERS
    assert sum(row.tried for row in rows) == len(records)


def test_scaling_finds_points_again_from_their_distances() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 1.0], [0.0, 1.0], [2.0, 0.5]])
    squares = ((corners[:, None] - corners[None]) ** 2).sum(axis=2)
    points, held = landscape.scaled(squares)
    again = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    assert again == pytest.approx(squares)
    assert held == pytest.approx((16 / 17, 1 / 17))
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()


def test_landscape_shows_each_memory_once_and_leaves_out_what_cannot_be_read() -> None:
    named: dict[str, Any] = {"memory": {"bias": "l2"}}
    records = [record(n, **named) for n in range(3)]
    records += [record(n, "search", objectives={"recall": n / 10}, **named) for n in range(3, 8)]
    records += [records[3].model_copy(update={"number": 8}), record(9, "search")]
    records[4] = records[4].model_copy(update={"equals": ("gla",)})
    asked: list[int] = []

    def far(chosen: Any) -> list[list[float]]:
        asked.extend(each.number for each in chosen)
        bad = [each.number for each in chosen].index(5)
        return [
            [math.nan if bad in (i, j) else abs(i - j) for i in range(len(chosen))]
            for j in range(len(chosen))
        ]

    rows = landscape.table(records, far)
    assert asked == list(range(8))
    assert [row.name for row in rows if row.labelled] == [
        "m0", "m1", "m2", "#3", "#6", "#7",
    ]  # fmt: skip
    assert [row.new for row in rows] == [False] * 3 + [True, False, True, True]
    assert landscape.table(records, None) == [] == landscape.table(records[:3], far)


def test_colours_of_names_on_the_map_are_explained_where_there_are_several() -> None:
    def row(origin: str, labelled: bool, x: float) -> landscape.Row:
        return landscape.Row("recall", "a", origin, True, labelled, x, x % 2, 0.5, (0.5, 0.2))

    rows = [row("baseline", True, 0.0), row("search", True, 1.0), row("random", False, 2.0)]
    for extra, told in (
        ([], ["known", "proposed by the search"]),
        ([row("random", True, 3.0)], ["known", "proposed by the search", "drawn by chance"]),
    ):
        with canvas(4.0) as (figure, axes):
            landscape.draw(axes, rows + extra)
        entries = figure.legends[0].get_texts()
        assert [each.get_text() for each in entries][-len(told) :] == told
        marks = figure.legends[0].legend_handles[-len(told) :]
        written = {each.get_color() for each in axes.texts}
        assert {mark.get_color() for mark in marks if isinstance(mark, Line2D)} == written
    with canvas(4.0) as (figure, axes):
        landscape.draw(axes, [rows[0], rows[2]])
    assert "known" not in [each.get_text() for each in figure.legends[0].get_texts()]


def test_distances_are_those_of_normal_forms() -> None:
    names = ["deltanet", "gated-deltanet", "gla"]
    records = [record(n, memory=known()[name].model_dump()) for n, name in enumerate(names)]
    table = np.array(between([*records, record(3, memory={"architecture": "no such"})]))
    from miras.canonical import distance

    assert table[0, 2] == distance(known()["deltanet"], known()["gla"]).values > 0
    assert (table[:3, :3] == table[:3, :3].T).all() and not table.diagonal()[:3].any()
    assert np.isnan(table[3]).all() and np.isnan(table[:, 3]).all()


def test_the_command_tells_the_map_how_far_memories_are_apart(tmp_path: Path) -> None:
    for number, name in enumerate(["deltanet", "gated-deltanet", "gla", "retnet"]):
        append(tmp_path / "trials.jsonl", record(number, memory=known()[name].model_dump()))
    done = CliRunner().invoke(app, ["plot", "landscape", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "figures" / "landscape.png").is_file()


# Slots together


def pairs(score: Any, count: int = 24, seed: int = 0) -> list[TrialRecord]:
    dice = random.Random(seed)
    return [
        choosing(n, score(bias, kind) + dice.gauss(0, 0.05), bias=bias, retention=kind)
        for n, (bias, kind) in enumerate(
            [(dice.choice("ab"), dice.choice("cd")) for _ in range(count)]
        )
    ]


def test_interaction_by_hand() -> None:
    """Two by two, two of each: the textbook's sum of squares of the interaction."""
    scores = [1.0, 3.0, 4.0, 4.0, 6.0, 8.0, 1.0, 1.0]
    bias, kind = list("aaaabbbb"), list("ccddccdd")
    row = interaction.judge("recall", ("bias", "retention"), [bias, kind], scores)
    assert row is not None
    means = {"ac": 2.0, "ad": 4.0, "bc": 7.0, "bd": 1.0}
    effect = (means["ac"] - means["ad"] - means["bc"] + means["bd"]) / 4
    noise = (2 * 1.0 + 2 * 1.0) / 4  # within cells, of 8 - 4 degrees
    total = sum((score - 3.5) ** 2 for score in scores)
    assert row.explained == pytest.approx((8 * effect**2 - noise) / total)
    assert (row.choices, row.memories, row.best) == (4, 8, "b × c")


def test_interaction_finds_what_is_good_only_together() -> None:
    records = pairs(lambda bias, kind: 0.7 if (bias == "a") == (kind == "c") else 0.3)
    (row,) = interaction.table(records)
    assert row.slot == "bias × retention" and row.probability < 0.001
    assert row.explained > 0.8 > row.high
    assert all(each.explained < 0.4 for each in importance.table(records))


def test_sums_of_effects_are_rarely_taken_for_interaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importance, "SHUFFLES", 200)
    beyond = 0
    for seed in range(150):
        records = pairs(lambda bias, kind: 0.3 * (bias == "a") + 0.5 * (kind == "c"), 20, seed)
        beyond += sum(row.explained > row.high for row in interaction.table(records))
    assert beyond < 12  # 2.5 % of 150 are 4; 12 or more has probability 0.001


# Confirmations


def test_selection_against_fresh_seeds_is_drawn_from_a_study_or_its_confirmation(
    tmp_path: Path,
) -> None:
    append(tmp_path / "trials.jsonl", record(0))
    numbers = {"search": 0.8, "again": 0.6}
    for subject in ("#1 a", "#2 b"):
        found = Finding(topic="rescored", subject=subject, role="finalist", numbers=numbers)
        append(tmp_path / "confirm" / "findings.jsonl", found)
    files = plots.draw("rescored", tmp_path)
    assert [file.name for file in files] == ["rescored.svg", "rescored.png"]
    assert "forest" in plots.figures()
    with pytest.raises(ValueError, match="nothing yet that the figure forest could show"):
        plots.draw("forest", tmp_path)
    with pytest.raises(ValueError, match=r"shows one run: name one folder \(several: history\)"):
        plots.draw("rescored", tmp_path, None, [tmp_path])
    plots.write(tmp_path)
    assert "figures/rescored.png" in (tmp_path / "report.md").read_text()
