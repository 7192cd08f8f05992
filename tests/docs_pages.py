"""The pages of the documentation as blocks of files, commands and Python."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
STUDIES = {path.parent.name: path for path in sorted((ROOT / "studies").glob("*/README.md"))}

FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n|\n(?= {4}))+", re.MULTILINE)


class Block(NamedTuple):
    """What stands between fences, or indented: commands then."""

    language: str
    mark: str  # what stands behind the language: `file=NAME`, `fails`, ...
    text: str

    @property
    def file(self) -> str:
        """The file that this block is, if it is one."""
        return self.mark.removeprefix("file=") if self.mark.startswith("file=") else ""

    @property
    def commands(self) -> list[str]:
        """The commands, without remarks behind them."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [re.sub(r"\s+# .*", "", line) for line in lines if line.strip()]


def blocks(page: str) -> list[Block]:
    """The blocks of a page in order."""
    return blocks_of(PAGES[page])


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a file in order."""
    text = path.read_text(encoding="utf-8")
    found = [(m.start(), Block(m[1], m[2].strip(), m[3])) for m in FENCE.finditer(text)]
    outside = FENCE.sub(lambda m: "\n" * 2 + " " * (len(m[0]) - 3) + "\n", text)
    for each in INDENTED.finditer(outside):
        if each[0].strip():
            lines = "\n".join(line[4:] for line in each[0].splitlines())
            found.append((each.start(), Block("sh", "indented", lines)))
    return [block for _, block in sorted(found, key=lambda pair: pair[0])]


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    return {block.file: block.text for block in blocks(page) if block.file}
