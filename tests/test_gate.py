"""The gate: what becomes of claims, what is run again, what the page says."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from miras.cli import app
from miras.lines import read
from miras.load import brief
from miras.part import SpecError
from miras.plots import panels
from miras.plots.gates import orderings
from miras.plots.style import canvas
from miras.result import FloorCheck, Result
from miras.search.sweep import floors
from miras.search.sweep.comparison import Comparison, Sweep, load_sweep
from miras.search.sweep.gate import Verdict, verdicts
from miras.search.sweep.gate_page import page
from miras.search.sweep.standing import Standing
from miras.search.sweep.sweep import record
from miras.tasks.mqar import MQAR
from miras.tasks.parity import Parity

TASK = {"kind": "parity", "steps": 2, "batch": 4, "validation": 8, "test": 8}
CLAIMS = [
    {"memory": "lstm", "metric": "accuracy/L=256", "at_least": 0.9},
    {"memory": "deltanet", "metric": "accuracy/L=256", "at_most": -0.2, "plus": "lstm"},
]


def gate(**changes: object) -> Sweep:
    row = {
        **{"name": "T6", "asks": "Who counts?", "task": TASK, "memories": ["lstm", "deltanet"]},
        **{"solves": ["lstm"], "fails": ["deltanet"], "claims": CLAIMS},
    }
    fields = {"name": "tiny", "learning_rates": [0.01], "notches": 0, "seeds": [0, 1, 2]}
    return Sweep.model_validate({**fields, "workers": 1, "compare": [row | changes]})


def outcomes(plan: Sweep, accuracy: dict[str, list[float]], status: str = "ok") -> list[Result]:
    comparison = plan.compare[0]
    return [
        Result.model_validate(
            {
                **{"name": memory.name, "key": "k", "memory": brief(memory)},
                "task": comparison.task.name,
                "settings": {
                    "task": comparison.task.model_dump(mode="json"),
                    "shell": comparison.shell.model_dump(mode="json"),
                },
                **{"seed": seed, "learning_rate": 0.01, "score": value, "validation": value},
                **{"status": status, "seconds": 30.0},
                "metrics": {"accuracy/L=256": value, "score/L=64": value, "score/L=256": value},
            }
        )
        for memory in comparison.memories
        for seed, value in enumerate(accuracy.get(memory.name, []))
    ]


def judged(plan: Sweep, accuracy: dict[str, list[float]], status: str = "ok") -> Verdict:
    (found,) = verdicts(Standing(plan, outcomes(plan, accuracy, status)))
    return found


def test_a_row_holds_if_all_its_claims_do():
    found = judged(gate(), {"lstm": [1.0, 0.9, 0.95], "deltanet": [0.5, 0.6, 0.5]})
    assert found.outcome == "holds" and [each.outcome for each in found.claims] == ["holds"] * 2
    assert found.claims[0].found == pytest.approx(0.95) and found.claims[0].held == 3
    assert found.claims[1].bound == pytest.approx(0.75) and found.seconds == 180
    found = judged(gate(), {"lstm": [1.0, 0.9, 0.95], "deltanet": [0.9, 0.9, 0.9]})
    assert found.outcome == "fails" and found.claims[0].outcome == "holds"


def test_missing_evidence_is_no_verdict():
    assert judged(gate(), {}).outcome == "not run yet"
    half = judged(gate(), {"lstm": [1.0, 1.0, 1.0]})
    assert [each.outcome for each in half.claims] == ["holds", "not run yet"]
    assert half.outcome == "not run yet"
    two_of_three = judged(gate(), {"lstm": [1.0, 1.0], "deltanet": [0.5, 0.5, 0.5]})
    assert two_of_three.outcome == "not run yet" and two_of_three.runs == 5
    assert judged(gate(), {"lstm": [0.1, 0.1, 0.1]}).outcome == "fails"


def test_a_mean_may_hold_where_a_seed_does_not():
    accuracy = {"lstm": [1.0, 1.0, 0.8], "deltanet": [0.5, 0.5, 0.5]}
    mean, each = judged(gate(), accuracy), judged(gate(every_seed=True), accuracy)
    assert mean.outcome == "holds" and each.outcome == "fails" and each.claims[0].held == 2


def test_a_run_that_failed_supports_no_claim():
    accuracy = {"lstm": [1.0, 1.0, 1.0], "deltanet": [0.5, 0.5, 0.5]}
    assert judged(gate(), accuracy, "diverged").outcome == "fails"


def test_a_claim_of_nothing_is_a_sentence():
    wrong = [{"memory": "lstm", "metric": "acuracy", "at_least": 0.9}]
    with pytest.raises(SpecError, match="parity measures accuracy/L=256"):
        judged(gate(claims=wrong), {"lstm": [1.0, 1.0, 1.0], "deltanet": [0.5] * 3})
    with pytest.raises(ValueError, match="T6 speaks of 'gla'"):
        gate(fails=["gla"])
    with pytest.raises(ValueError, match="two memories of one name"):
        gate(memories=["lstm", "deltanet", "lstm"])


def test_the_page_says_who_should_and_what_was_seen():
    plan = gate()
    found = outcomes(plan, {"lstm": [1.0, 0.9, 0.95]})
    check = FloorCheck(
        task="parity",
        settings=plan.compare[0].task.model_dump(mode="json"),
        solver=1.0,
        gaps={"window": 0.004},
    )
    text = page(Standing(plan, found), [check], {"T6": "figures/t6.png"})
    assert "Of 1 rows 0 hold, 0 fail and 1 are not run yet. 3 runs took" in text
    assert "| T6 | lstm | deltanet | accuracy/L=256 of lstm ≥ 0.9: 0.95; " in text
    assert "| not run yet | 3 | 2 |" in text and "![T6](figures/t6.png)" in text
    assert "| T6 | 1 | window 0.0040 | holds |" in text and '"longest": 32' in text
    assert "| – | – | not run yet |" in page(Standing(plan), [], {})
    bad = check.model_copy(update={"gaps": {"window": 0.02}})
    assert "| T6 | 1 | window 0.0200 | **fails** |" in page(Standing(plan), [bad], {})


def test_floors_are_put_to_the_judge():
    small = MQAR.model_validate(
        {"rungs": [[16, 2]], "extrapolation": [], "keys": 8, "values": 8, "test": 1000}
    )
    found = floors.check(small)
    assert found.solver == 1.0 and floors.holds(found) and {*found.gaps} == {"one_id", "in_context"}
    assert not floors.holds(found.model_copy(update={"solver": 0.99}))
    other = Parity(longest=4, lengths=(8,))
    assert floors.missing([small, other, small, other], [found]) == [other]


def test_the_figure_has_difficulties_in_order_and_intervals():
    plan = gate()
    runs = outcomes(plan, {"lstm": [1.0, 0.9, 0.95], "deltanet": [0.5, 0.5, 0.5]})
    for run in runs:
        run.metrics.update({"score/L=32,extra": run.metrics["score/L=64"]})
    found = Standing(plan, runs).final(0)
    records = [record("T6", n, name, members) for n, (name, members) in enumerate(found.items())]
    (panel,) = panels("validity", records)
    assert panel.title == "T6, parity"
    assert [row.label for row in panel.rows[:3]] == ["L=64", "L=256", "L=32,extra"]
    first = panel.rows[0]
    assert first.mean == pytest.approx(0.95) and first.seeds == (1.0, 0.9, 0.95)
    assert first.low == pytest.approx(0.95 - 4.303 * 0.05 / 3**0.5, abs=1e-3) and first.high == 1.0
    flat = panel.rows[3]
    assert (flat.name, flat.low, flat.high) == ("deltanet", 0.5, 0.5)


def test_one_figure_shows_who_should_and_who_does():
    accuracy = {"lstm": [0.4, 0.5, 0.6], "deltanet": [0.9]}
    runs = Standing(gate(), outcomes(gate(), accuracy)).final(0)
    rows = orderings.table([orderings.Group("T6", ("lstm",), (), runs | {"gla": []})])
    assert [(row.name, row.expected) for row in rows] == [("deltanet", ""), ("lstm", "solves")]
    assert rows[0][3:6] == (0.9, 0.9, 0.9) and rows[1].score == pytest.approx(0.5)
    assert rows[1].low == pytest.approx(0.5 - 4.303 * 0.1 / 3**0.5, abs=1e-3)
    with canvas(orderings.height(rows)) as (_, axes):
        orderings.draw(axes, rows)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["", "deltanet", "lstm"]


def test_the_figure_of_text_has_bits():
    runs = outcomes(gate(), {"lstm": [0.5]})
    for run in runs:
        run.metrics.clear()
        run.metrics.update({"bits_per_byte": 3.0, "bits_per_byte/recall": 1.5})
    (panel,) = panels("validity", [record("T8", 0, "lstm", runs)])
    assert [(row.mean, row.kind) for row in panel.rows] == [(1.5, "bits"), (3.0, "bits")]


def test_the_shipped_gate_is_complete():
    sweep = load_sweep(Path("studies/validity.yaml"))
    tasks = {each.task.name for each in sweep.compare}
    assert tasks == {
        *("mqar", "overwrite", "selective_copy", "compositional", "flip_flop"),
        *("parity", "permutation", "automaton", "byte_lm"),
    }
    for each in sweep.compare:
        assert each.claims and (each.solves or each.fails), each.title
        assert each.task == type(each.task)(), f"{each.title} is not at its fast settings"
        for name in (*each.solves, *each.fails):
            assert any(name in (c.memory, c.plus, c.times) for c in each.claims) or name in {
                "gated-deltanet"
            }, f"nothing is claimed of {name} in {each.title}"


@pytest.mark.slow
def test_the_command_stops_goes_on_and_says_no(tmp_path: Path):
    lines = [
        "name: tiny",
        "learning_rates: [0.01]",
        "notches: 0",
        "seeds: [0]",
        "workers: 1",
        "compare:",
        "  - task: {kind: mqar, rungs: [[16, 2]], extrapolation: [], keys: 8, values: 8, steps: 5,",
        "      batch: 4, validation: 8, test: 1000}",
        "    memories: [lstm]",
        "    shell: {dim: 8, layers: 1, heads: 1}",
        "    claims: [{memory: lstm, metric: ladder, at_least: 2.0}]",
    ]
    file = tmp_path / "tiny.yaml"
    file.write_text("\n".join(lines) + "\n")
    words = ["validate", str(file), "--out", str(tmp_path / "out")]
    stopped = CliRunner().invoke(app, [*words, "--minutes", "0"])
    assert stopped.exit_code == 1 and "not run yet" in stopped.output
    whole = CliRunner().invoke(app, words)
    assert whole.exit_code == 1 and "fails" in whole.output, whole.output
    results = tmp_path / "out" / "results.jsonl"
    assert len(read(results, Result)) == 1
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1 and len(read(results, Result)) == 1
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Of 1 rows 0 hold, 1 fail" in text and (tmp_path / "out/figures/mqar.png").exists()
    assert "](figures/all.png)" in text
    assert isinstance(load_sweep(file).compare[0], Comparison)
