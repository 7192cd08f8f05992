"""Pages of reference, made from docstrings and fields: `python -m miras.documentation FOLDER`.

One page for each axis of the grammar and for the other kinds of parts, and one for the files that
people write. Whoever adds parts of their own gets pages with these parts on them.
"""

import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from miras.documentation.fields import AXES, Axis, Nested, doc, sentence, table, words
from miras.known import known
from miras.memory import SLOTS
from miras.part import Part, leaves

MADE = "<!-- made by `python -m miras.documentation docs/reference`: change the docstrings -->\n"

INDEX = """\
# Reference

Every part, with its equation, its source and its fields. A part is named by its kind, and a bare
name stands for the part with its defaults: `bias: huber` is `bias: {{kind: huber}}`. A field that
is left out has the default of the table; one that is unknown, of another type or out of bounds is
an error with file, line and column (`miras check`).

{rows}

{files}

`miras ls AXIS` lists the same parts on the terminal, `miras schema KIND` prints the JSON Schema of
a kind of file, `miras explain MEMORY` the equations of one whole memory. Which pairs of parts are
refused, and why, `miras check` says when they meet. How to add a part: [parts](../parts.md).
"""

FILES = """\
# Files that people write

What kind of file it is, is seen by its keys. All are checked by `miras check FILE`; `miras schema
KIND` prints the schema of one, where an editor wants it.
"""

SECTIONS = (
    (
        "A memory",
        "miras.memory:Memory",
        "Four choices. `use: NAME` takes a known memory and changes what stands beside it;"
        " `compose: KIND` makes a [composition](composition.md).",
    ),
    (
        "A model",
        "miras.model:ModelFile",
        "What `miras train` takes, and what `best.yaml` of a search is.",
    ),
    ("A training", "miras.text.settings:TrainingFile", "See [training on text](../train.md)."),
    (
        "A study",
        "miras.search.study:Study",
        "What `miras search` runs; see [the search](../search.md).",
    ),
    (
        "A sweep",
        "miras.search.sweep.comparison:Sweep",
        "What `miras sweep` runs: named memories, compared fairly.",
    ),
)

SPACE = """\

## A space

A memory with holes. A hole stands where a value would stand, at any depth:

| hole | what may stand there |
| --- | --- |
| `{any: [a, b, {kind: c, field: ...}]}` | one of these; each may hold further holes |
| `{any: all}` | any part of the axis, with its usual settings |
| `{any: open}` | the same, with its own settings open |
| `{float: [low, high]}` | a real number; with `log` as a third entry, in its logarithm |
| `{int: [low, high]}` | a whole number |

Weights, changed known memories and patterns of layers are shown in [search](../search.md).
"""


def pages() -> dict[str, str]:
    """All pages by file name."""
    files: Nested = {}
    text = MADE + FILES + "".join(_file(each, files) for each in SECTIONS) + SPACE
    inner = "\n".join(_nested(files))
    found = {f"{name}.md": _axis(name, axis, files) for name, axis in AXES.items()}
    found["files.md"] = f"{text}{inner}\n"
    rows = ["| page | parts | what they are |", "| --- | --- | --- |"]
    for name, axis in AXES.items():
        count = len(leaves(axis.package, axis.tag))
        said = sentence(inspect.getdoc(importlib.import_module(axis.package)))
        said = said.partition(": ")[2]
        rows.append(f"| [{axis.title}]({name}.md) | {count} | {said} |")
    listed = "[Files](files.md): memories, models, trainings, studies, sweeps and spaces."
    found["README.md"] = MADE + INDEX.format(rows="\n".join(rows), files=listed)
    return found


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _axis(name: str, axis: Axis, files: Nested) -> str:
    parts = leaves(axis.package, axis.tag)
    shared = list(dict.fromkeys(base for part in parts.values() for base in _bases(part)))
    nested: Nested = {}
    lines = [f"{MADE}# {axis.title}", ""]
    lines += [doc(importlib.import_module(axis.package)), ""]
    lines += [" · ".join(f"[`{kind}`](#{kind})" for kind in parts), ""]
    for base in shared:
        lines += [f"## Fields of `{base.__name__}`", "", sentence(inspect.getdoc(base)), ""]
        lines += [*table(_own(base), nested), ""]
    using = _using(parts) if name in (*SLOTS, "composition", "features", "gate") else {}
    for kind, part in parts.items():
        lines += [
            f"## {kind}",
            "",
            f"{sentence(inspect.getdoc(sys.modules[part.__module__]))}",
            "",
        ]
        lines += ["```text", inspect.getdoc(part) or "", "```", ""]
        own = {field: info for field, info in _own(part).items() if field != axis.tag}
        lines += [*table(own, nested), ""] if own else ["No fields of its own.", ""]
        above = [f"[`{n}`](#fields-of-{n.lower()})" for n in (b.__name__ for b in _bases(part))]
        lines += [f"Also the fields of {' and '.join(above)}.", ""] if above else []
        if used := using.get(kind):
            lines += [f"Known memories with it: {', '.join(used)}.", ""]
    text = "\n".join([*lines, *_nested(nested, files)]).rstrip() + "\n"
    for kind in files:
        text = text.replace(f"(#{words(kind, '-')})", f"(files.md#{words(kind, '-')})")
    return text


def _file(section: tuple[str, str, str], nested: Nested) -> str:
    title, place, said = section
    module, _, name = place.partition(":")
    kind: type[BaseModel] = getattr(importlib.import_module(module), name)
    return "\n".join(["", f"## {title}", "", said, "", *table(kind.model_fields, nested)]) + "\n"


def _nested(nested: Nested, elsewhere: Iterable[type[BaseModel]] = ()) -> Iterator[str]:
    """Tables of what stands inside fields; those inside these are found on the way."""
    done = set(elsewhere)
    while left := [kind for kind in nested if kind not in done]:
        for kind in left:
            done.add(kind)
            yield from (f"\n## {words(kind)}", "", sentence(inspect.getdoc(kind)), "")
            yield from table(kind.model_fields, nested)


def _bases(part: type[Part]) -> list[type[Part]]:
    """Abstract parts above a part that have fields of their own, the most general first."""
    above = [base for base in part.__mro__[1:] if issubclass(base, Part) and base is not Part]
    return [base for base in reversed(above) if _own(base)]


def _own(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that a class declares itself."""
    declared = inspect.get_annotations(kind)
    return {name: info for name, info in kind.model_fields.items() if name in declared}


def _using(parts: Mapping[str, type[Part]]) -> dict[str, list[str]]:
    """Known memories by the kinds of part that stand in them, however deep."""
    names = {part: kind for kind, part in parts.items()}
    found: dict[str, list[str]] = {}
    for memory, spec in known().items():
        for kind in dict.fromkeys(
            names[type(each)] for each in _inside(spec) if type(each) in names
        ):
            found.setdefault(kind, []).append(memory)
    return found


def _inside(value: object) -> Iterator[Part]:
    if isinstance(value, Part):
        yield value
        for name in type(value).model_fields:
            yield from _inside(getattr(value, name))
    elif isinstance(value, tuple):
        for each in cast(tuple[object, ...], value):
            yield from _inside(each)
