"""The table of all tasks for the documentation, from their docstrings."""

import inspect
import re
import sys
from pathlib import Path

from miras.part import Part, SpecError, leaves

BEGIN, END = "<!-- table of tasks -->\n", "<!-- end of table -->\n"
"""What stands around the table in a page; between them everything is replaced."""

ENDS = r"(?=\n\n|\n(?:Isolates|Floors?|Score|Exact solver|No exact|Extrapolation|Source)\b|\Z)"
DIFFERS = r"(?=[.;]?\s+Differs:|\n\n|\Z)"


def said(task: type[Part], what: str, until: str = ENDS) -> str:
    """What the docstring says behind a word at the start of a line, on one line."""
    text = inspect.getdoc(task) or ""
    found = re.search(rf"^{what}: (.*?){until}", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SpecError(
            f"the docstring of {task.__name__} has no line that begins with `{what}: `: write one"
        )
    return " ".join(found[1].split()).rstrip(".")


def table() -> str:
    """One row per task: what it asks, what it isolates, its floor and where it comes from."""
    lines = [
        "| task | what is asked | isolates | floor | source |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, task in leaves("miras.tasks").items():
        cells = (
            f"`{kind}`",
            task.summary().rstrip("."),
            said(task, "Isolates"),
            said(task, "Floor"),
            said(task, "Source", DIFFERS),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its table made anew."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise SpecError(f"the page has no place for the table: write {BEGIN}{END} where it belongs")
    return before + BEGIN + "\n" + table() + "\n" + END + after


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
