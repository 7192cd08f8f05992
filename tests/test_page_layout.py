"""Pages as a browser lays them out: on a phone, on a wide screen and on paper."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from plot_cases import record, scoring
from test_page import BLOCKS

from miras import plots
from miras.explain.formulas import equations
from miras.known import cells
from miras.lines import append
from miras.page import Code, Equations, Heading, Items, Table, to_html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or ""

pytestmark = pytest.mark.skipif(not BROWSER, reason="needs the browser Chromium")

WIDTHS = (320, 390, 1280)

PROBE = """
const found = {};
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, width = frame.clientWidth;
  const own = (each) => !each.parentElement.closest(".scroll, pre, .equation, dt");
  const right = (each) => each.getBoundingClientRect().right;
  const all = [...page.body.querySelectorAll("*")].filter(own);
  found[frame.id] = {
    width: width,
    scrolls: page.documentElement.scrollWidth,
    beyond: all.filter((e) => right(e) > width + 1).map((e) => e.outerHTML.slice(0, 90)),
    blank: [...page.querySelectorAll("img, math")].filter((e) => right(e) <= 0).length,
    broken: [...page.images].filter((each) => !each.complete || !each.naturalWidth).length,
    images: page.images.length,
    equations: page.querySelectorAll("math").length,
    raised: [...page.querySelectorAll("msup")].every(
      (e) => e.lastElementChild.getBoundingClientRect().bottom
        < e.firstElementChild.getBoundingClientRect().bottom),
    fractions: [...page.querySelectorAll("mfrac")].every(
      (e) => e.firstElementChild.getBoundingClientRect().bottom
        <= e.lastElementChild.getBoundingClientRect().top + 1),
    small: [...page.querySelectorAll("p, li, td, dd")].filter(
      (each) => parseFloat(frame.contentWindow.getComputedStyle(each).fontSize) < 13).length,
  };
}
document.body.replaceChildren(JSON.stringify(found));
"""


def browse(*words: str | Path) -> str:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    done = subprocess.run(
        [BROWSER, *flags, *map(str, words)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def laid_out(pages: dict[str, str], folder: Path) -> dict[str, Any]:
    """What each page measures at each width."""
    frames = "".join(
        f'<iframe id="{name} {width}" style="border:0;width:{width}px;height:700px"'
        f' srcdoc="{html.escape(text)}"></iframe>'
        for name, text in pages.items()
        for width in WIDTHS
    )
    script = f"<script>addEventListener('load', () => {{{PROBE}}});</script>"
    path = folder / "probe.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{frames}{script}</body>")
    shown = browse(f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri())
    body = re.search(r"<body>(.*)</body>", shown, re.DOTALL)
    assert body
    return json.loads(html.unescape(body.group(1)))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with figures, and a page of all that is long."""
    folder = tmp_path_factory.mktemp("pages")
    study = folder / "study"
    study.mkdir()
    for trial in (record(0), scoring(1, 0.6), scoring(2, 0.7)):
        append(study / "trials.jsonl", trial)
    (study / "best.yaml").write_text("model: {}\n" * 3)
    lines = ["y_t = W_t q_t / (z_t · q_t + 1e-6)", "W_t = W_{t−1} + v_t k_tᵀ"]
    report = plots.write(study, equations=[Equations(lines)])
    found = [equations(memory) for memory in cells().values()]
    every = [line for each in found for line in (*each.update, *each.read, *each.where)]
    blocks = [
        *BLOCKS[:-2],
        Heading("Every equation"),
        Equations(list(dict.fromkeys(every))),
        Table([f"column {n}" for n in range(14)], [["a long cell of words " * 4] * 14]),
        Code("a line of code that is far too long for any phone " * 4),
        Items(["a-word-that-does-not-end-" * 12]),
    ]
    whole = folder / "blocks.html"
    whole.write_text(to_html("Everything_at_once_" * 6, blocks), encoding="utf-8")
    return {"report": report, "blocks": whole}


def test_nothing_is_wider_than_the_screen(pages: dict[str, Path], tmp_path: Path) -> None:
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages.items()}
    without = texts["blocks"].replace("overflow-x: auto", "")
    found = laid_out({**texts, "control": without}, tmp_path)
    assert len(found) == (len(pages) + 1) * len(WIDTHS)
    assert all(found.pop(f"control {width}")["scrolls"] > width for width in WIDTHS[:2])
    del found[f"control {WIDTHS[2]}"]
    for name, page in found.items():
        assert page["scrolls"] <= page["width"] and page["beyond"] == [], (name, page)
        assert page["blank"] == page["broken"] == page["small"] == 0, (name, page)
        assert page["equations"] > 3 and page["raised"] and page["fractions"], (name, page)
    assert found["report 390"]["images"] >= 5 and found["blocks 390"]["equations"] > 300


def test_pages_can_be_printed(pages: dict[str, Path], tmp_path: Path) -> None:
    for name, path in pages.items():
        paper = tmp_path / f"{name}.pdf"
        browse(f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={paper}", path.as_uri())
        data = paper.read_bytes()
        assert data.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", data)) >= 2
