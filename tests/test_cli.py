"""The command line as a person meets it: help, listings, sentences for wrong files, training."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miras.cli import app

GOOD = "architecture: matrix\nbias: l2\n"

WRONG = {
    "misspelt key": ("architecture: matrix\nbais: l2\n", (2, 1), "bias"),
    "wrong type": ("architecture: {kind: mlp, depth: two}\n", (1, 34), "depth"),
    "bad pair": ("architecture: kv\noptimizer: gd\n", (1, 15), "use optimizer closed_form"),
    "out of range": (
        "architecture: matrix\nbias: {kind: lp, p: 9.0}\noptimizer: gd\n",
        (2, 21),
        "less than or equal to 4",
    ),
    "number for a gate": (
        "architecture: matrix\nbias: {kind: huber, threshold: 1.5}\n",
        (2, 32),
        "write {kind: constant, value: 1.5}",
    ),
    "duplicate key": ("bias: l2\narchitecture: matrix\nbias: dot\n", (3, 1), "bias"),
    "number as text": ("architecture: {kind: mlp, initial_std: 1e-3x}\n", (1, 40), "initial_std"),
    "unknown known memory": ("use: gated-deltanett\n", (1, 6), "gated-deltanet"),
    "unknown kind": ("architecture: matrx\n", (1, 15), "matrix"),
    "tab": ("architecture:\n\tkind: matrix\n", (2, 1), "spaces"),
    "empty": ("", (1, 1), "empty"),
    "not yaml": ("architecture: [matrix\n", (2, 1), "]"),
    "hole in a spec": ("space: x\n", (1, 1), "tasks"),
    "recursion bomb": ("a: &a [*a, *a]\n", (1, 1), ""),
    "deep bomb": ("a: " + "[" * 3000, (1, 1), ""),
    "many aliases": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]\n"
            for x, y in zip("abcdefg", "bcdefgh", strict=True)
        ),
        (1, 1),
        "",
    ),
}


def run(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(words))
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_gives_sentences_with_place_and_exit_code_2(tmp_path: Path, case: str):
    text, (line, column), hint = WRONG[case]
    path = tmp_path / "memory.yaml"
    path.write_text(text)
    code, out, errors = run("check", str(path))
    assert code == 2, out
    assert "Traceback" not in errors
    places = [each for each in errors.splitlines() if each.startswith(f"{path}:")]
    assert places == errors.splitlines() and places
    if hint:
        assert any(
            each.startswith(f"{path}:{line}:{column}:") and hint in each for each in places
        ), errors


def test_1e_3_is_a_number(tmp_path: Path):
    path = tmp_path / "memory.yaml"
    path.write_text("architecture: {kind: mlp, initial_std: 1e-3}\nretention: decay\n")
    assert run("check", str(path))[0] == 0


def test_all_wrong_files_are_told_in_one_run(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("architecture: matrx\n")
    (tmp_path / "three.yaml").write_text(GOOD)
    code, out, errors = run("check", *(str(path) for path in sorted(tmp_path.iterdir())))
    assert code == 2 and "one.yaml" in errors and "two.yaml" in errors and "three.yaml" in out


@pytest.mark.parametrize("what", ["", "bias", "known", "tasks", "plans"])
def test_listings_for_programs(what: str):
    code, out, _ = run("ls", *([what] if what else []), "--json")
    assert code == 0 and json.loads(out)


def test_listings_name_what_is_there():
    assert {"l2", "dot", "huber"} <= {
        row["kind"] for row in json.loads(run("ls", "bias", "--json")[1])
    }
    assert len(json.loads(run("ls", "known", "--json")[1])) >= 23
    plans = {row["name"]: row["plan"] for row in json.loads(run("ls", "--plans", "--json")[1])}
    assert plans["gated-deltanet"] == "delta" and plans["e88"] == "rank_one"
    assert "did you mean" in run("explain", "gated-deltanett")[2]
    code, _, errors = run("ls", "nothing")
    assert code == 2 and "known" in errors


@pytest.mark.parametrize("kind", ["memory", "model", "space", "study"])
def test_schemas_are_json(kind: str):
    code, out, errors = run("schema", kind)
    assert code == 0, errors
    assert json.loads(out)["$defs"] if kind != "space" else json.loads(out)


def test_train_then_generate(tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("the memory remembers what it has read. " * 400)
    sets = [
        "model.dim=16", "model.layers=1", f"task.path={text}", "task.context=16",
        "task.batch=8", "task.test=8", "task.validation=8",
    ]  # fmt: skip
    out = tmp_path / "run"
    words = [word for change in sets for word in ("--set", change)]
    code, printed, errors = run(
        "train", "gated-deltanet", "--task", "byte_lm", "--steps", "4", "--out", str(out), *words
    )
    assert code == 0, errors
    assert "bits_per_byte" in printed and (out / "result.jsonl").exists()
    code, printed, errors = run("generate", str(out / "model.safetensors"), "--tokens", "5")
    assert code == 0, errors


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("train", "gated-deltanet", "--task", "mqr"), "mqar"),
        (("train", "nothing", "--task", "mqar"), "no known memory"),
        (("train", "gla", "--task", "mqar", "--set", "model.dmi=3"), "dmi"),
        (("train", "gla", "--task", "mqar", "--set", "dim"), "--set"),
        (("generate", "missing.safetensors"), "no such file"),
    ],
)
def test_wrong_commands_give_a_sentence(words: tuple[str, ...], hint: str):
    code, _, errors = run(*words)
    assert code == 2 and hint in errors and "Traceback" not in errors
