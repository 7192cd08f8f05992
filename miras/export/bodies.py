"""Pieces of functions: what they take out of tuples, what they need, what they give back."""

import re

from miras.export.expressions import WIDTH
from miras.export.program import Written


def taken(names: list[str], whole: list[str], source: str) -> list[str]:
    """Variables for fields of a tuple."""
    if not names:
        return []
    if names == whole:
        return [f"        {', '.join(names)}{',' if len(names) == 1 else ''} = {source}"]
    left, right = ", ".join(names), ", ".join(f"{source}.{name}" for name in names)
    line = f"        {left} = {right}"
    if len(line) <= WIDTH:
        return [line]
    return [f"        {name} = {source}.{name}" for name in names]


def assigned(function: Written, name: str) -> bool:
    text = "\n".join(function.lines)
    return re.search(rf"(?m)^\s*(\w+, )*{re.escape(name)}(, \w+)*,? = ", text) is not None


def needed(function: Written, inputs: list[str]) -> list[str]:
    """The statements that some results depend on."""
    wanted = " ".join(function.results[name] for name in inputs)
    kept: list[str] = []
    comment = ""
    for line in reversed(function.lines):
        if line.lstrip().startswith("#"):
            comment = line
            if kept and not kept[-1].lstrip().startswith("#"):
                kept.append(comment)
            continue
        left = line.split(" = ")[0].strip()
        names = [name.strip() for name in left.split(",")]
        if any(re.search(rf"\b{re.escape(name)}\b", wanted) for name in names if name):
            kept.append(line)
            wanted += " " + line.split(" = ", 1)[-1]
    return kept[::-1]


def returned(before: str, head: str, items: list[str]) -> list[str]:
    line = f"        {before}{head}({', '.join(items)})"
    if len(line) <= WIDTH:
        return [line]
    inside = f"            {', '.join(items)}"
    body = [inside] if len(inside) <= WIDTH else [f"            {item}," for item in items]
    return [f"        {before}{head}(", *body, "        )"]
