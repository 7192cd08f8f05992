"""A page as one HTML file that needs no other: nothing is fetched and no script runs."""

import base64
import html
import re
from collections.abc import Iterable, Sequence
from itertools import count
from string import Template

from miras.page.blocks import (
    Block,
    Code,
    Equations,
    Heading,
    Items,
    Picture,
    Pictures,
    Table,
    Terms,
    Text,
)
from miras.page.mathml import typeset
from miras.page.style import STYLE

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

CONTENTS = 5
"""A page of so many sections or more begins with a list of them."""


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """The page as HTML: figures are inside, equations are MathML, all text is escaped."""
    names = _names(blocks)
    parts = [_html(block, names.get(place, ("", ""))[1]) for place, block in enumerate(blocks)]
    if len(names) >= CONTENTS:
        first = next(place for place, block in enumerate(blocks) if isinstance(block, Heading))
        parts.insert(first, _contents(names.values()))
    return PAGE.substitute(title=html.escape(title), style=STYLE, body="\n".join(parts))


def _names(blocks: Sequence[Block]) -> dict[int, tuple[str, str]]:
    """By the place of each section its heading, and the name by which contents point to it."""
    found: dict[int, tuple[str, str]] = {}
    taken: set[str] = set()
    for place, block in enumerate(blocks):
        if isinstance(block, Heading) and block.level == 2:
            first = re.sub(r"\W+", "-", block.text.lower()).strip("-") or "section"
            names = (first if n == 1 else f"{first}-{n}" for n in count(1))
            name = next(each for each in names if each not in taken)
            taken.add(name)
            found[place] = block.text, name
    return found


def _contents(names: Iterable[tuple[str, str]]) -> str:
    links = "\n".join(
        f'<li><a href="#{html.escape(name)}">{html.escape(text)}</a></li>' for text, name in names
    )
    return f'<nav aria-label="Contents"><ul>\n{links}\n</ul></nav>'


def _html(block: Block, name: str) -> str:
    match block:
        case Heading(text, level):
            mark = f' id="{html.escape(name)}"' if level == 2 else ""
            return f"<h{level}{mark}>{html.escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Items(texts):
            return "<ul>\n" + "\n".join(f"<li>{html.escape(t)}</li>" for t in texts) + "\n</ul>"
        case Code(text, wrapped):
            kind = 'class="wrapped"' if wrapped else 'tabindex="0"'
            return f"<pre {kind}>{html.escape(text)}</pre>"
        case Equations(lines):
            return _boxed("equations", map(_equation, lines))
        case Terms(pairs):
            return _boxed("terms", (_term(*pair) for pair in pairs), "dl")
        case Pictures(members):
            return _boxed("pictures", map(_figure, members))
        case Table():
            return _table(block)


def _boxed(name: str, lines: Iterable[str], tag: str = "div") -> str:
    return f'<{tag} class="{name}">\n' + "\n".join(lines) + f"\n</{tag}>"


def _equation(line: str) -> str:
    kind = "equation within" if line.startswith(" ") else "equation"
    return f'<p class="{kind}">{typeset(line)}</p>'


def _term(term: str, words: str) -> str:
    return f"<dt>{typeset(term)}</dt>" + (f"<dd>{html.escape(words)}</dd>" if words else "")


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.vector).decode()
    words = html.escape(picture.words)
    return f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{words}"></figure>'


def _table(table: Table) -> str:
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
