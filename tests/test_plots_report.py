"""The report: its tables, and the page as a stranger's browser would take it."""

import json
from pathlib import Path
from typing import Any

import pytest
from html_reader import Page
from plot_cases import LOST, record, result, scoring, seeded, synthetic

from miras import page as pages
from miras import plots
from miras.lines import append
from miras.plots import fairness, tables
from miras.plots.study import duration, load, moment, words
from miras.result import TrialRecord
from miras.rules import RULES

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
    again = trial(5, 0.9, 0.9, 256).model_copy(update={"origin": "null"})
    names = [row[0] for row in tables.on_front([*records, again]).rows]
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
        "none", "yes", "0.5", "none", "x",
    ]  # fmt: skip
    assert moment(0) == "1970-01-01 00:00 UTC" and moment("today") == "today"
    assert [duration(s) for s in (3.2, 59, 95, 7260)] == [
        "3.2 s",
        "59 s",
        "1 min 35 s",
        "2 h 1 min",
    ]


# The report


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
        "shell": {"dim": 64, "layers": 2},
        "space": {"bias": {"any": ["l2", "dot"]}, "optimizer": "gd"}, "tasks": [{"kind": "mqar"}],
        "finished": 1763716000.0, "started": 1763715000.0,
        "versions": {"torch": "2.13.0"}, "seconds": 1000.0,
    }  # fmt: skip
    folder = study_folder(tmp_path / "made-up", records, **manifest)
    (folder / "best.yaml").write_text(
        "# Trial 12 of study made-up\nbias: {kind: huber}  # <best> ```\n"
    )

    equations = [pages.Heading("Update", 3), pages.Equations(["W_t = W_{t−1} + v_t k_tᵀ"])]
    asked = {"mqar": "Recall of <values> by key."}
    text = plots.write(folder, equations=equations, tasks=asked).read_text()
    found = Page(text)
    drawn_files = sorted(path.name for path in (folder / "figures").glob("*.svg"))
    assert len(drawn_files) == found.tags.count("img") == 25
    found.check()
    assert found.tags.count("table") == text.count('<div class="scroll"')
    assert found.headings == [
        "In short",
        "What was searched, and how",
        "Best memories of each objective",
        "How sure this is",
        "Pareto front",
        "Learning curves",
        "Accuracy by difficulty",
        "The space, two choices at a time",
        "Which choices matter",
        "Which choices matter together",
        "The search, and what became of it",
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
        'bias: {"any": ["l2", "dot"]}\noptimizer: "gd"',
        '- {"kind": "mqar"}',
        "19, of them 12 new",
        "Of all, #12 ",
        "Recall of <values> by key.",
        "6 known memories and",
        "Sizes differ",
    ):
        assert words_expected in found.text

    markdown = (folder / "report.md").read_text()
    linked = [line.split("](")[1][:-1] for line in markdown.splitlines() if line.startswith("![")]
    assert len(linked) == 25 and all((folder / path).is_file() for path in linked)
    assert "\\<script" in markdown and "````\n# Trial 12 of study made-up" in markdown
    assert "```\nW_t = W_{t−1} + v_t k_tᵀ\n```" in markdown
    assert found.outline[-2:] == [(3, "Update"), (2, "How to repeat it")]
    assert found.tags.count("math") == 3


RATES: list[tuple[Any, str]] = [
    (0.01, "one learning rate, 0.01"),
    ([0.01], "one learning rate, 0.01"),
    ([0.001, 0.01], "each of the learning rates 0.001, 0.01"),
    ({"low": 0.001, "high": 0.1, "baseline_rates": 3}, "between 0.001 and 0.1"),
]


@pytest.mark.parametrize(("rate", "words"), RATES)
def test_fairness_says_what_was_equal(tmp_path: Path, rate: Any, words: str) -> None:
    records = [record(0), scoring(1, 0.6)]
    folder = study_folder(tmp_path / "s", records, learning_rate=rate)
    told = fairness.sentences(load(folder))
    assert words in told[1]
    assert (
        told[0] == "1 known memory and 1 candidate had the same tasks, data and length of training."
    )
    assert (
        told[2]
        == "All models were equally large: 1,000 trained numbers, 512 floats of state per layer."
    )


def test_fairness_of_controls_and_of_no_baseline(tmp_path: Path) -> None:
    twin = record(2).model_copy(update={"origin": "null"})
    chance = scoring(3, 0.5).model_copy(update={"origin": "random"})
    folder = study_folder(
        tmp_path / "s", [scoring(1, 0.6), twin, chance], match={"parameters": 0.1}
    )
    told = fairness.sentences(load(folder))
    assert told[0].startswith("No known memory was trained")
    assert told[1].startswith("Models were sized to be about equally large: ")
    assert told[2].startswith("1 trial trained a known memory again")
    assert told[3].startswith("1 candidate had its choices drawn by chance")
    assert fairness.sentences(load(study_folder(tmp_path / "none", []))) == []


def test_rules_that_refused_are_sentences(tmp_path: Path) -> None:
    refused = {"T14": 5, "settings of bias": 2, "T99": 1}
    study = load(study_folder(tmp_path / "s", [record(0)], refused=refused))
    told = {rule.name: rule.sentence for rule in RULES}
    (table,) = tables.refusals(study, told)
    assert table.rows == [
        ["5", "Steps above 1 need keys of norm 1. (T14)"],
        ["2", "settings of bias"],
        ["1", "T99"],
    ]
    assert ("refused before training", "8") in tables.setting(study).rows
    text = Page(plots.write(study.folder, rules=told).read_text()).text
    assert "Steps above 1 need keys of norm 1. (T14)" in text and "T14 5" not in text
    assert tables.refusals(load(study_folder(tmp_path / "n", [], refused={})), told) == []


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


def test_report_without_manifest_does_not_guess(tmp_path: Path) -> None:
    text = Page(plots.write(study_folder(tmp_path / "s", [record(0)])).read_text()).text
    assert "study.json is missing" in text and "not finished" not in text


def test_report_of_diverged_trials_alone(tmp_path: Path) -> None:
    folder = study_folder(tmp_path / "s", synthetic(20, diverging=1.0)[6:], finished="today")
    found = Page(plots.write(folder).read_text())
    assert "No trial ended with a score" in found.text
    assert "14 of 14 trials ended without a score" in found.text
    assert found.tags.count("img") == 2


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
