"""A page as Markdown: for editors, diffs and code hosts."""

import re
from collections.abc import Sequence

from miras.page.blocks import (
    Block,
    Code,
    Equations,
    Heading,
    Items,
    Pictures,
    Table,
    Terms,
    Text,
)


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The page as Markdown; its figures are files beside it."""
    parts = [f"# {_plain(title)}"] + [_markdown(block) for block in blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Text(text):
            return _plain(text)
        case Items(texts):
            return "\n".join(f"- {_plain(text)}" for text in texts)
        case Code(text, _):
            return _fenced(text.rstrip())
        case Equations(lines):
            return _fenced("\n".join(lines))
        case Terms(pairs):
            return "\n".join(
                f"- {_inline(term)}" + (f": {_plain(words)}" if words else "")
                for term, words in pairs
            )
        case Pictures(members):
            return "\n".join(f"![{_plain(m.words)}]({m.path})" for m in members)
        case Table(columns, rows, caption):
            lines = [columns, ["---"] * len(columns), *rows]
            text = "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)
            return f"**{_plain(caption)}**\n\n{text}" if caption else text


def _fenced(text: str) -> str:
    fence = "`" * max(3, _ticks(text) + 1)
    return f"{fence}\n{text}\n{fence}"


def _inline(text: str) -> str:
    ticks = "`" * (_ticks(text) + 1)
    return f"{ticks}{text}{ticks}"


def _ticks(text: str) -> int:
    """The longest run of backticks in a text."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands, on one line."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*\[\]|<])", r"\\\1", line)
