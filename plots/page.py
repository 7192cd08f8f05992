"""A page as a list of blocks, and its two forms: Markdown, and HTML in one file."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template


@dataclass(frozen=True)
class Heading:
    """A section begins."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of plain sentences."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure by the path of its PNG beside the Markdown, with the bytes of its SVG."""

    path: str
    words: str
    vector: bytes


@dataclass(frozen=True)
class Pictures:
    """Figures side by side where there is room."""

    members: Sequence[Picture]


@dataclass(frozen=True)
class Code:
    """Text to copy, letter by letter."""

    text: str


Block = Heading | Text | Items | Table | Pictures | Code

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222;
  background: #fff; max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid #ddd; }
p, li { max-width: 46rem; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .875rem; }
.caption { font-weight: 600; font-size: .875rem; margin: 1.4rem 0 -.3rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid #e6e6e6; min-width: 7rem; max-width: 26rem; }
th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
th:first-child, td:first-child { min-width: 8.5rem; }
.t { min-width: 14rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; min-width: 3.5rem; }
td.n { white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr));
  gap: 1rem; align-items: start; }
figure { margin: 0; break-inside: avoid; }
img { display: block; width: 100%; max-width: 34rem; height: auto; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; }
@media print {
  body { max-width: none; font-size: 10.5pt; padding: 0; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  pre { white-space: pre-wrap; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
}
"""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """One file that needs no other: figures are inside, nothing is fetched, all text is escaped."""
    body = "\n".join(_html(block) for block in blocks)
    return PAGE.substitute(title=html.escape(title), style=STYLE, body=body)


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html.escape(text)}</h2>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Items(texts):
            return "<ul>\n" + "\n".join(f"<li>{html.escape(t)}</li>" for t in texts) + "\n</ul>"
        case Code(text):
            return f"<pre>{html.escape(text)}</pre>"
        case Pictures(members):
            return '<div class="pictures">\n' + "\n".join(map(_figure, members)) + "\n</div>"
        case Table():
            return _html_table(block)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.vector).decode()
    words = html.escape(picture.words)
    return f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{words}"></figure>'


def _html_table(table: Table) -> str:
    """A table in its own scroll container: a phone scrolls the table, never the page."""
    kinds = [_kind([row[index] for row in table.rows]) for index in range(len(table.columns))]

    def line(tag: str, cells: Sequence[str]) -> str:
        pairs = zip(kinds, cells, strict=True)
        parts = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in pairs)
        return f"<tr>{''.join(parts)}</tr>"

    caption = f'<p class="caption">{html.escape(table.caption)}</p>\n' if table.caption else ""
    rows = "\n".join(line("td", row) for row in table.rows)
    head = line("th", table.columns)
    return (
        f'{caption}<div class="scroll" tabindex="0"><table><thead>{head}</thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _kind(cells: Sequence[str]) -> str:
    """The class of a column: numbers to the right, sentences not squeezed to a word a line."""
    if cells and all(re.fullmatch(r"[-+−±\d.,/ %–]*", cell) for cell in cells):
        return ' class="n"'
    return ' class="t"' if any(len(cell) > 40 for cell in cells) else ""


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The same page for editors, diffs and code hosts; figures are files beside it."""
    parts = [f"# {_plain(title)}"] + [_markdown(block) for block in blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_plain(text)}"
        case Text(text):
            return _plain(text)
        case Items(texts):
            return "\n".join(f"- {_plain(text)}" for text in texts)
        case Code(text):
            longest = max((len(run) for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{text.rstrip()}\n{fence}"
        case Pictures(members):
            return "\n".join(f"![{_plain(m.words)}]({m.path})" for m in members)
        case Table(columns, rows, caption):
            lines = [columns, ["---"] * len(columns), *rows]
            text = "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)
            return f"**{_plain(caption)}**\n\n{text}" if caption else text


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands, on one line."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*\[\]|<])", r"\\\1", line)
