"""The page about tasks is true: its table is fresh, and everything in it runs."""

import importlib.metadata
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from task_cases import solver
from typer.testing import CliRunner

import miras.part
from miras import task_table
from miras.cli import app
from miras.part import SpecError, leaves
from miras.tasks import AnyTask, Task
from miras.tasks.ladder import Rung

PAGE = Path(__file__).parents[1] / "docs/tasks.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\S+)( file=\S+)?\n(.*?)```", TEXT, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [block for kind, name, block in BLOCKS if kind == language and not name]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of."""
    draw = np.random.default_rng(0)
    words = ["the", "memory", "reads", "a", "text", "and", "learns", "which", "words", "follow"]
    text = " ".join(draw.choice(words, 6000))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/first.md").write_text(text)
    lines = [json.dumps({"text": " ".join(draw.choice(words, 12))}) for _ in range(400)]
    (tmp_path / "passages.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_is_fresh() -> None:
    assert task_table.page(TEXT) == TEXT, "run `python -m miras.task_table docs/tasks.md`"
    for kind in leaves("miras.tasks"):
        assert f"| `{kind}` |" in TEXT


def test_every_kind_of_snippet_is_run_here() -> None:
    assert {kind for kind, _, _ in BLOCKS} == {"sh", "python", "yaml", "toml"}


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block: str, desk: Path) -> None:
    exec(compile(block, "tasks.md", "exec"), {})


@pytest.mark.parametrize("line", "".join(blocks("sh")).strip().split("\n"))
def test_commands_run(line: str, desk: Path) -> None:
    program, *arguments = shlex.split(line)
    # A judge of few sequences is enough here.
    few = ["--set", "task.validation=4"] + ["--set", "task.test=4"] * ("task.test" not in line)
    found = CliRunner().invoke(app, [*arguments, *few])
    assert program == "miras" and found.exit_code == 0, found.output


def test_yaml_is_a_list_of_tasks() -> None:
    (block,) = blocks("yaml")
    found = TypeAdapter(list[AnyTask]).validate_python(yaml.safe_load(block)["tasks"])
    assert [task.name for task in found] == ["mqar", "in_context_recall", "needle", "byte_lm"]


def test_a_task_of_ones_own_keeps_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the entry point that the page shows, as a package of somebody else."""
    ((name, source),) = [(name[6:], block) for _, name, block in BLOCKS if name]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (toml,) = blocks("toml")
    ((axis, value),) = tomllib.loads(toml)["project"]["entry-points"]["miras.parts"].items()
    point = importlib.metadata.EntryPoint(axis, value, "miras.parts")
    monkeypatch.setattr(miras.part, "entry_points", lambda group: [point])
    leaves.cache_clear()
    try:
        kind = leaves("miras.tasks")["reverse"]
        task = kind()
        assert isinstance(task, Task) and task.evaluate(solver(task)).score == 1.0
        tokens, targets = task.sample(Rung(12, 6), 4, np.random.default_rng(0))  # type: ignore[attr-defined]
        assert (tokens[:, :6] == targets[:, :5:-1]).all()
        for floor in kind(test=3000).floors().values():  # type: ignore[attr-defined]
            metrics = kind(test=3000).evaluate(floor.predict).metrics  # type: ignore[attr-defined]
            for metric, stated in floor.stated.items():
                assert metrics[metric] == pytest.approx(stated, abs=0.01), metric
        assert task.full().full() == task.full() != task
        assert "| `reverse` | The letters of a string in reverse order" in task_table.table()
        with pytest.raises(ValidationError, match=r"rung \[13, 6\] should be \[12, 6\]"):
            kind.model_validate({"rungs": [[13, 6]]})
    finally:
        leaves.cache_clear()
        for module in ("mine.reverse", "mine"):
            sys.modules.pop(module, None)


def test_a_docstring_without_its_lines_is_told_so() -> None:
    class Silent(miras.part.Part):
        """Nothing."""

    with pytest.raises(SpecError, match="Silent has no line that begins with `Floor: `"):
        task_table.said(Silent, "Floor")
    with pytest.raises(SpecError, match="no place for the table"):
        task_table.page("a page")
