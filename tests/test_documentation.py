"""The reference is fresh and whole, and no page of the documentation leads nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_pages import PAGES, ROOT

from miras import documentation
from miras.documentation.fields import AXES
from miras.part import leaves

FOLDER = ROOT / "docs/reference"
WRITTEN = [*PAGES.values(), *sorted(FOLDER.glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\((?!http)([^)#\s]*)(?:#([^)\s]+))?\)")


def test_the_reference_is_fresh() -> None:
    pages = documentation.pages()
    assert {path.name for path in FOLDER.iterdir()} == set(pages)
    for name, text in pages.items():
        fresh = (FOLDER / name).read_text(encoding="utf-8") == text
        assert fresh, f"{name} is stale: run `python -m miras.documentation docs/reference`"


@pytest.mark.parametrize("name", AXES)
def test_every_part_has_its_section_and_every_field_its_row(name: str) -> None:
    axis = AXES[name]
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    for kind, part in leaves(axis.package, axis.tag).items():
        section = sections[kind]
        assert "```text\n" in section, kind
        above = [f"Fields of `{each}`" for each in re.findall(r"\[`(\w+)`\]\(#fields", section)]
        shown = section + "".join(sections[each] for each in above)
        for field in part.model_fields.keys() - {axis.tag}:
            assert f"\n| `{field}` |" in shown, f"{field} of {kind}"


def anchors(text: str) -> Iterator[str]:
    """What a link may name: headings as GitHub writes them."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in LINK.findall(text):
        there = path.parent / target if target else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in set(anchors(there.read_text(encoding="utf-8"))), f"{target}#{anchor}"
