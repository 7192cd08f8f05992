"""`miras explain --html`: what the terminal says, on a page that needs no other file."""

from pathlib import Path

import pytest
from html_reader import Page, letters
from typer.testing import CliRunner

from miras import explain
from miras.cli import app
from miras.known import named

NAMES = ("gated-deltanet", "yaad", "softmax-attention", "memory-os")


@pytest.mark.parametrize("name", NAMES)
def test_page_says_what_the_terminal_says(name: str) -> None:
    """All letters of every line, but for headings and columns that only the terminal needs."""
    found = explain.explain(named(name), heads=1, key_dim=4, value_dim=4)
    page = Page(explain.html(found))
    page.check()
    there = said(page.text)
    titles = {"Plans that are exact for it, work per token and head", f"Key {found.key}"}
    for line in explain.text(found).splitlines():
        for part in line.strip().removeprefix("- ").split("  "):
            if part and line.startswith(" ") and line not in titles:
                assert said(part.removesuffix("(chosen as the cheapest)")) in there, part
    assert f"Key {found.key}" in page.text and page.tags.count("math") > 5


def said(text: str) -> str:
    """Fractions and roots are drawn: what `tests/test_page.py` reads back is left out here."""
    return letters(text).replace("/", "").replace("√", "")


def test_equations_of_a_page_are_typeset() -> None:
    text = explain.html(explain.explain(named("deltanet")))
    assert "<msubsup><mi>k</mi><mi>t</mi>" in text and "k_tᵀ" not in text


def test_command_writes_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["explain", "deltanet", "--html", str(path)])
    assert done.exit_code == 0 and done.stdout.strip() == str(path)
    assert Page(path.read_text(encoding="utf-8")).outline[0] == (1, "deltanet")


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "none" / "page.html"
    done = CliRunner().invoke(app, ["explain", "deltanet", "--html", str(path)])
    assert done.exit_code == 2 and "Traceback" not in done.stderr and "none" in done.stderr
