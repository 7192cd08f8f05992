"""The README is true: its YAML loads, its Python runs, its files are there."""

import re
from pathlib import Path

from miras.load import loads, reads
from miras.memory import Memory
from miras.search.space.space import space_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_yaml_is_a_memory_and_a_space() -> None:
    memory, space = blocks("yaml")
    assert loads(memory, Memory).name == "gated-deltanet"
    assert memory.split("\n", 1)[1].startswith("name: gated-deltanet")
    assert space_of(reads(space)).size > 10


def test_python_runs() -> None:
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def test_named_files_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / target).exists(), target
