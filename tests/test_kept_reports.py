"""The reports of studies that are kept are what the program writes from their records today."""

import re
from pathlib import Path

import pytest

from miras.exporting import WINNER
from miras.page import Picture, Pictures, to_markdown
from miras.plots import figures
from miras.plots.gallery import APART
from miras.plots.report import compose
from miras.plots.study import load
from miras.reporting import asked, equations, ruled

STUDIES = Path(__file__).parents[1] / "studies"
LINK = re.compile(r"^!\[(?P<words>.*)\]\((?P<path>figures/(?P<file>[\w-]+)\.png)\)$", re.MULTILINE)


def drawn(page: str) -> dict[str, Pictures]:
    """The figures of a page, as if they had just been drawn."""
    found: dict[str, list[Picture]] = {}
    names = [name for name in figures() if name not in APART]
    for link in LINK.finditer(page):
        (name,) = [each for each in names if re.match(rf"{each}(-|$)", link["file"])]
        assert link["words"].endswith(f": {figures()[name].summary}"), f"{name} says it otherwise"
        found.setdefault(name, []).append(Picture(link["path"], link["words"], b""))
    return {name: Pictures(found[name]) for name in names if name in found}


@pytest.mark.parametrize("name", ["quickstart", "first-search", "rediscovery"])
def test_the_report_that_is_kept_is_fresh(name: str) -> None:
    """Every word and number; `miras report` on a copy of the folder writes it anew."""
    folder = STUDIES / name
    study, kept = load(folder), (folder / "report.md").read_text(encoding="utf-8")
    pictures = drawn(kept)
    blocks = compose(study, pictures, equations(folder / WINNER), asked(), ruled())
    written = to_markdown(f"Search report: {study.name}", blocks)
    assert written.splitlines() == kept.splitlines()
    files = [picture.path for each in pictures.values() for picture in each.members]
    assert len(files) == len(set(files)) > 30
    assert {f"figures/{path.name}" for path in (folder / "figures").iterdir()} == set(files)
