"""Demonstrations: rows, claims, what is still to run, and the command from end to end."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from miras.cli import app
from miras.demonstration.judging import judge
from miras.demonstration.running import changed, choose, do, needed
from miras.demonstration.spec import (
    AnyRow,
    Claim,
    Demonstrations,
    StreamRow,
    load_demonstrations,
)
from miras.lines import read
from miras.load import loads
from miras.part import SpecError
from miras.plots.demonstrations import lines, points, words
from miras.result import Shown

FILE = """
name: small
description: Two rows.
demonstrate:
  - name: gate
    number: 24
    system: importance weighting
    title: A gate keeps junk out
    stream: {kind: salience, relevant: 6, junk: 12, visits: 3, key_dim: 8, value_dim: 6}
    metric: recall
    grid: {optimizer.step.value: [0.25, 1.0]}
    candidates:
      gated: {architecture: matrix, optimizer: {kind: gd, step: sigmoid}}
    controls:
      ungated: {architecture: matrix, optimizer: {kind: gd, step: constant}}
    claims:
      - {memory: gated, metric: recall, at_least: 0.2, plus: ungated}
  - name: passes
    number: 9
    system: reading again
    title: A second pass helps
    stream: {kind: pairs, pairs: 6, key_dim: 8, value_dim: 6, passes: 2}
    metric: recall
    curve: recall/pass
    candidates:
      delta: {architecture: {kind: matrix, features: l2}, optimizer: {kind: gd, step: constant}}
    claims:
      - {memory: delta, metric: error, at_most: 0.5}
"""


@pytest.fixture
def small() -> Demonstrations:
    return loads(FILE, Demonstrations)


def everything(rows: Sequence[AnyRow], seeds: int = 2) -> list[Shown]:
    return [each for job in needed(rows, [], seeds) for each in do(job)]


def test_only_what_is_missing_is_run(small: Demonstrations) -> None:
    rows = small.demonstrate
    done = everything(rows)
    assert [(each.row, each.name, each.seed) for each in done] == [
        ("gate", "gated", 0), ("gate", "gated", 1),
        ("gate", "ungated", 0), ("gate", "ungated", 1),
        ("passes", "delta", 0), ("passes", "delta", 1),
    ]  # fmt: skip
    assert needed(rows, done, 2) == []
    more = needed(rows, done[:-1], 3)
    assert [(job.name, job.seeds) for job in more] == [
        ("gated", (2,)), ("ungated", (2,)), ("delta", (1, 2)),
    ]  # fmt: skip
    assert more[1].settings == done[2].settings  # chosen once
    assert isinstance(rows[1], StreamRow)
    again = do(more[2])[0]
    assert again.metrics == done[-1].metrics  # the same alone and beside others
    stream = rows[1].stream.model_copy(update={"pairs": 5})
    other = rows[1].model_copy(update={"stream": stream})
    assert [job.seeds for job in needed([other], done, 2)] == [(0, 1)]


def test_settings_are_chosen_from_the_grid_for_those_who_have_it(small: Demonstrations) -> None:
    row = small.demonstrate[0]
    assert isinstance(row, StreamRow)
    assert choose(row, "gated") == {}
    chosen = choose(row, "ungated")
    assert chosen.keys() == {"optimizer.step.value"}
    assert changed(row.memories["ungated"], chosen).model_dump()["optimizer"]["step"]["value"] in (
        0.25,
        1.0,
    )
    with pytest.raises(SpecError, match=r"optimizer\.step\.value = 3: .*[Uu]se"):
        changed(row.memories["ungated"], {"optimizer.step.value": 3.0})


def test_claims() -> None:
    means = {"a": {"x": 0.9}, "b": {"x": 0.3}}
    for settings, bound, holds, text in (
        ({"at_least": 0.8}, 0.8, True, "x of a ≥ 0.8"),
        ({"at_most": 0.8}, 0.8, False, "x of a ≤ 0.8"),
        ({"at_least": 2, "times": "b"}, 0.6, True, "x of a ≥ 2 × b"),
        ({"at_least": 0.7, "plus": "b"}, 1.0, False, "x of a ≥ b + 0.7"),
        ({"at_least": -0.01, "plus": "b"}, 0.29, True, "x of a ≥ b − 0.01"),
    ):
        claim = Claim.model_validate({"memory": "a", "metric": "x"} | settings)
        assert claim.bound(means) == pytest.approx(bound)
        assert claim.holds(means) is holds
        assert claim.text() == text
    for wrong in ({}, {"at_least": 1, "at_most": 2}, {"at_least": 1, "times": "b", "plus": "b"}):
        with pytest.raises(ValueError, match="claim"):
            Claim.model_validate({"memory": "a", "metric": "x"} | wrong)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("memory: delta, metric: error", "memory: delte, metric: error", "delte"),
        ("kind: pairs", "kind: paris", "pairs"),
        ("optimizer: {kind: gd, step: sigmoid}", "optimizer: {kind: gd, stepp: 1}", "step"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(SpecError, match=sentence):
        load_demonstrations(path)


def test_a_verdict_is_made_of_means_over_seeds(small: Demonstrations) -> None:
    row = small.demonstrate[0]
    done = everything((row,))
    assert judge(row, done[:2]) is None
    verdict = judge(row, done)
    assert verdict is not None
    recalls = [each.metrics["recall"] for each in done[:2]]
    assert verdict.means["gated"]["recall"] == pytest.approx(sum(recalls) / 2)
    spread = abs(recalls[0] - recalls[1]) / 2**0.5
    assert verdict.spreads["gated"]["recall"] == pytest.approx(spread)
    (claim,) = verdict.claims
    assert claim.bound == pytest.approx(verdict.means["ungated"]["recall"] + 0.2)
    assert verdict.reached == claim.reached == (claim.found >= claim.bound)
    table = points.table(verdict, done)
    assert [(each.name, each.candidate, each.bounds) for each in table] == [
        ("gated", True, (claim.bound,)), ("ungated", False, ()),
    ]  # fmt: skip
    assert table[0].seeds == tuple(recalls)


def test_curves_are_read_from_the_names_of_metrics(small: Demonstrations) -> None:
    row = small.demonstrate[1]
    done = everything((row,))
    verdict = judge(row, done)
    assert verdict is not None
    table = lines.table(verdict, done)
    assert [(each.what, each.over, each.place) for each in table] == [
        ("recall", "pass", 1.0), ("recall", "pass", 2.0),
    ]  # fmt: skip
    assert table[0].seeds == tuple(each.metrics["recall/pass=1"] for each in done)


def test_the_command_goes_on_and_writes_a_page(tmp_path: Path) -> None:
    file, out = tmp_path / "small.yaml", tmp_path / "out"
    file.write_text(FILE)
    words = ["demonstrate", str(file), "--out", str(out), "--seeds", "2"]
    first = CliRunner().invoke(app, [*words, "--row", "gate"])
    assert first.exit_code == 0, first.output
    assert {"gate, gated", "gate, ungated"} == {
        line.partition(": ")[2] for line in first.output.splitlines() if " of 2: " in line
    } and "passes" not in first.output
    second = CliRunner().invoke(app, words)
    assert "1 of 1: passes, delta" in second.output
    assert len(read(out / "results.jsonl", Shown)) == 6
    kept = (out / "results.jsonl").read_bytes()
    third = CliRunner().invoke(app, words)
    assert "of 1" not in third.output and (out / "results.jsonl").read_bytes() == kept
    page = (out / "README.md").read_text()
    for text in ("| gated | candidate |", "recall of gated ≥ ungated + 0.2", "figures/gate.png"):
        assert text in page
    for name in ("gate", "passes"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    wrong = CliRunner().invoke(app, [*words, "--row", "7"])
    assert wrong.exit_code == 2 and "24 (gate), 9 (passes)" in wrong.stderr


def test_the_rows_of_the_project_are_a_right_file() -> None:
    found = load_demonstrations(Path(__file__).parent.parent / "studies/seeds.yaml")
    names = [row.name for row in found.demonstrate]
    assert len(set(names)) == len(names)
    for row in found.demonstrate:
        candidates = {claim.memory for claim in row.claims} & set(row.candidates)
        assert candidates, f"row {row.name} claims nothing of a candidate"


def test_figures_of_the_project_say_what_they_draw_in_words() -> None:
    rows = load_demonstrations(Path(__file__).parent.parent / "studies/seeds.yaml").demonstrate
    for row in rows:
        what, _, along = row.curve.partition("/")
        assert not along or along in words.PLACES, row.curve
        for name in filter(None, (row.metric, what)):
            head = name if name in words.METRICS else name.partition("/")[0]
            assert head in words.METRICS, name
            assert not set("_/") & set(words.metric(name)), name
    assert words.metric("recall/pass=1") == "share of answers that are right (pass 1)"
    assert words.metric("tidy_error/n=3") == "tidy error (n 3)"


def test_labels_are_words() -> None:
    figure = Figure()
    row = points.Row("t", "a", True, "clean_error", "lower", 0.5, (0.4, 0.6), ())
    points.draw(axes := figure.add_subplot(), [row])
    assert axes.get_xlabel().startswith("mean squared error to values without noise\n")
    curve = [lines.Row("t", "a", True, "norm", "token", x, 1.0, (1.0, 1.0)) for x in (1.0, 2.0)]
    lines.draw(axes := figure.add_subplot(), curve)
    assert axes.get_xlabel() == "tokens"
    assert axes.get_ylabel() == "norm of the weights\n(2 seeds, min to max)"
