"""Whoever follows the documentation gets where it says: its commands, files and snippets work.

`tutorial.md` is followed to its end, with smaller numbers of steps, and so are the other pages.
What a test cannot run is named with the reason in `newcomer_cases.py`, and parsed at least: no page
names a command or an option that does not exist.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from docs_pages import PAGES, ROOT, STUDIES, Block, blocks, blocks_of
from newcomer_cases import DESK, NOT_RUN, PREPARED, SMALLER, Step

from miras.cli import app
from miras.plots import figures

RUN_ELSEWHERE = {"tasks.md": "test_docs_tasks.py", "parts.md": "test_one_file.py"}
"""Pages whose blocks another test runs."""

PYTHON_ELSEWHERE = {"README.md": "test_readme.py"}


class Done(NamedTuple):
    """A step of a page: what is to be run, whether it is to fail, and lines that it says."""

    step: Step
    fails: bool
    says: list[str]


def smaller(page: str, text: str) -> str:
    for large, small in SMALLER.get(page, {}).items():
        text = text.replace(large, small)
    return text


def run_here(line: str) -> bool:
    return not any(line.startswith(begin) for begin in NOT_RUN)


def step(line: str) -> Step:
    words = shlex.split(line)
    if words[0] == "miras":
        return {"command": words}
    return {"shell": line.replace("python -c", f"{shlex.quote(sys.executable)} -c", 1)}


def steps_of(page: str, folder: Path) -> list[Done]:
    """All steps of a page; the files that it shows are written on the way."""
    found: list[Done] = []

    def add(step: Step, fails: bool = False) -> None:
        found.append(Done(step | {"folder": str(folder)}, fails, []))

    for line in PREPARED.get(page, []):
        add(step(smaller(page, line)))
    for block in blocks(page):
        text = smaller(page, block.text)
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(text, encoding="utf-8")
        elif block.language == "sh":
            for line in filter(run_here, block.commands):
                add(step(smaller(page, line)), block.mark == "fails")
        elif block.language == "python" and page not in PYTHON_ELSEWHERE:
            add({"python": text})
        elif block.language == "text":
            found[-1].says.extend(text.splitlines())
        elif block.mark in ("space", "study"):
            name = f"{block.mark}-{len(found)}.yaml"
            (folder / name).write_text(text, encoding="utf-8")
            add({"command": ["miras", "check", name]})
    return found


def follow(steps: list[Done], cache: Path) -> list[dict[str, Any]]:
    """Run steps one after the other; what came of each."""
    settings = {"TERM": "dumb", "COLUMNS": "200", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    settings |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/newcomer.py")],
        env=os.environ | settings,
        input=json.dumps([each.step for each in steps]),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(each: Done, got: dict[str, Any]) -> None:
    said, wanted = got["said"], 2 if each.fails else 0
    assert "Traceback" not in said and got["code"] == wanted, f"{each.step}\n{said}"
    plain = " ".join(said.split())
    for told in each.says:
        assert " ".join(told.split()) in plain, f"{each.step} does not say {told!r}:\n{said}"


def test_what_is_smaller_or_left_out_is_on_a_page() -> None:
    every = [line for page in PAGES for block in blocks(page) for line in block.commands]
    for begin in NOT_RUN:
        assert any(line.startswith(begin) for line in every), f"no page has {begin!r}"
    for page, changes in SMALLER.items():
        lines = PREPARED.get(page, [])
        text = "\n".join([PAGES[page].read_text(encoding="utf-8"), *lines])
        for large in changes:
            assert large in text, f"{page} has no {large!r}"


@pytest.mark.slow
def test_who_follows_the_pages_gets_where_they_say(tmp_path: Path) -> None:
    """One after the other, so that what all of them need is imported once."""
    pytest.importorskip("transformers")
    steps: list[Done] = []
    for page in sorted(PAGES.keys() - RUN_ELSEWHERE.keys()):
        folder = tmp_path / page
        folder.mkdir()
        for name, text in ({} if page == "tutorial.md" else DESK).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        steps += steps_of(page, folder)
    found = follow(steps, tmp_path / "cache")
    if kept := os.environ.get("MIRAS_NEWCOMER"):  # a file for people to read what a newcomer reads
        told = [
            f"$ {each.step}\n{got['said']}({got['seconds']:.1f} s)\n"
            for each, got in zip(steps, found, strict=True)
        ]
        Path(kept).write_text("\n".join(told), encoding="utf-8")
    for each, got in zip(steps, found, strict=True):
        judge(each, got)
    run = tmp_path / "tutorial.md/runs/my-study"
    for name in ("report.html", "report.md", "best.yaml", "trials.jsonl", "confirm/README.md"):
        assert (run / name).is_file(), name


def miras_words(block: Block) -> list[list[str]]:
    """The commands of miras in a block, without what starts them."""
    lines = [line for line in block.commands if block.language == "sh"]
    found = [re.sub(r"^torchrun .* -m miras\.cli ", "miras ", line) for line in lines]
    return [shlex.split(line)[1:] for line in found if line.startswith("miras ")]


COMMANDS = [
    pytest.param(words, id=f"{page}: {' '.join(words)[:60]}")
    for page in PAGES
    for block in blocks(page)
    for words in miras_words(block)
]


def parse(words: list[str]) -> None:
    """Take a command apart as it would be before it is run: names and options that do not exist."""
    group = typer.main.get_group(app)
    with group.make_context("miras", [*words]) as outer:
        name, found, rest = group.resolve_command(outer, [*words])
        assert found is not None
        found.make_context(name, rest, parent=outer)


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_and_options_exist(words: list[str]) -> None:
    parse(words)


def expanded(script: str, folder: Path) -> list[list[str]]:
    """The commands of miras in a shell script as the shell writes them; nothing else can run."""
    spoken = 'miras() { printf "%s\\0" miras "$@"; printf "\\n"; }\n'
    done = subprocess.run(
        ["/bin/bash", "-c", spoken + script], env={"PATH": ""}, cwd=folder, capture_output=True
    )
    lines = done.stdout.decode().splitlines()
    return [line.split("\0")[1:-1] for line in lines if line.startswith("miras\0")]


@pytest.mark.parametrize("study", STUDIES)
def test_commands_of_studies_exist_with_their_options(study: str, tmp_path: Path) -> None:
    scripts = [
        each.text for each in blocks_of(STUDIES[study]) if each.language in ("sh", "console")
    ]
    scripts += re.findall(r"`(miras [^`]+)`", STUDIES[study].read_text(encoding="utf-8"))
    for script in scripts:
        commands = expanded(script, tmp_path)
        written = len(re.findall(r"^\s*miras ", script, re.MULTILINE))
        assert len(commands) >= written, script
        for words in commands:
            parse(words)
            for word in words:
                path = word if word.startswith("studies/") else ""
                assert (ROOT / path).exists(), f"{study}: {' '.join(words)} has no {path}"
            if words[0] == "plot":
                assert words[1] in figures(), words


def test_loops_and_variables_of_a_script_are_expanded(tmp_path: Path) -> None:
    script = "small='--set a=[1,2]'\nfor n in x y; do\n  miras train $n ${small} \\\n --lr 1\ndone"
    end = ["--set", "a=[1,2]", "--lr", "1"]
    assert expanded(script, tmp_path) == [["train", "x", *end], ["train", "y", *end]]
    assert expanded("miras ls\ntouch a", tmp_path) == [["ls"]]
    assert not (tmp_path / "a").exists()
    with pytest.raises(Exception, match="No such option: --no-such"):
        parse(["train", "gla", "--no-such-option"])
