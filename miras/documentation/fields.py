"""Tables of fields: what a person may write, what it is if left out, and what it means."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from miras.memory import Memory
from miras.part import Part, leaves


class Axis(NamedTuple):
    """Parts of one folder."""

    title: str
    package: str
    tag: str = "kind"


AXES = {
    "architecture": Axis("Architectures", "miras.architecture"),
    "bias": Axis("Attentional biases", "miras.bias"),
    "retention": Axis("Retention gates", "miras.retention"),
    "optimizer": Axis("Optimizers", "miras.optimizer"),
    "composition": Axis("Compositions", "miras.composition", "compose"),
    "features": Axis("Feature maps", "miras.features"),
    "gate": Axis("Gates", "miras.gate"),
    "dream": Axis("Dreams", "miras.dream"),
    "tasks": Axis("Tasks", "miras.tasks"),
    "streams": Axis("Streams", "miras.streams"),
    "plans": Axis("Plans", "miras.plans"),
    "sampler": Axis("Samplers", "miras.search.sampler"),
}

Nested = dict[type[BaseModel], None]
"""Settings that stand inside others and are no parts, in the order in which they were met."""


def table(fields: Mapping[str, FieldInfo], nested: Nested) -> Iterable[str]:
    rows = ["| field | takes | default | what it is |", "| --- | --- | --- | --- |"]
    for name, info in fields.items():
        takes = _takes(info.annotation, _bounds(info.metadata), nested)
        default = "*needed*" if info.is_required() else f"`{_plain(info.get_default())}`"
        rows.append(f"| `{name}` | {takes} | {default} | {cell(info.description or '')} |")
    return rows


def _takes(kind: Any, bounds: Mapping[str, Any], nested: Nested) -> str:
    """What may be written for a field, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        own = [each for extra in inner[1:] for each in _extras(extra)]
        return _takes(inner[0], {**_bounds(own), **bounds}, nested)
    if origin is Literal:
        return ", ".join(f"`{_plain(each)}`" for each in inner)
    if origin in (Union, UnionType):
        axes = {page for each in inner if (page := _page(each))}
        others = [each for each in inner if not _page(each)]
        said = [f"[{page}]({page}.md)" for page in sorted(axes)]
        plain = {} if axes and str in others else dict.fromkeys(others)
        said += [_takes(each, bounds, nested) for each in plain]
        return " or ".join(dict.fromkeys(said))
    if origin in (tuple, list, set, frozenset):
        return f"list: {_takes(inner[0], {}, nested)}" if inner else "list"
    if origin is dict:
        return f"mapping to {_takes(inner[1], {}, nested)}"
    if names := getattr(kind, "_fields", None):
        return f"`[{', '.join(names)}]`"
    if kind is Memory:
        return "[memory](files.md#a-memory)"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        if page := _page(kind):
            return f"[{page}]({page}.md)"
        nested.setdefault(kind)
        return f"[{words(kind)}](#{words(kind, '-')})"
    plainly: dict[Any, str] = {
        bool: "`true`, `false`",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
        Any: "anything",
        type(None): "`null`",
    }
    return plainly.get(kind, str(kind)) + (_range(bounds) if kind in (int, float) else "")


def _page(kind: Any) -> str:
    """The page on which a part of the grammar stands."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        pages = {_page(each) for each in get_args(kind)} - {""}
        return pages.pop() if len(pages) == 1 else ""
    if not inspect.isclass(kind):
        return ""
    for name, axis in AXES.items():
        if kind in leaves(axis.package, axis.tag).values():
            return name
    return ""


def _extras(extra: Any) -> list[Any]:
    return list(extra.metadata) if isinstance(extra, FieldInfo) else [extra]


def _bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt")
    return {n: getattr(each, n) for each in metadata for n in names if hasattr(each, n)}


def _range(bounds: Mapping[str, Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    said = [f"{signs[name]} {_plain(bounds[name])}" for name in signs if name in bounds]
    return f" {', '.join(said)}" if said else ""


def _plain(value: object) -> str:
    """A value as it is written in YAML, without what is default."""
    if isinstance(value, Part):
        told = {
            name: getattr(value, name)
            for name, info in type(value).model_fields.items()
            if name in ("kind", "compose") or getattr(value, name) != info.get_default()
        }
        if set(told) == {"kind"}:
            return str(told["kind"])
        return "{" + ", ".join(f"{name}: {_plain(each)}" for name, each in told.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_plain, cast(list[object], value))) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value) or '""'


def words(kind: type[BaseModel], gap: str = " ") -> str:
    """A class name as words: `SelfMade` is `self made`."""
    text = "".join(f" {letter}" if letter.isupper() else letter for letter in kind.__name__)
    return text.lower().strip().replace(" ", gap)


def doc(module: object) -> str:
    """A docstring as prose: its paragraphs, each on a line of its own."""
    paragraphs = (inspect.getdoc(module) or "").split("\n\n")
    return "\n\n".join(cell(" ".join(each.split())) for each in paragraphs)


def sentence(text: str | None) -> str:
    return cell(" ".join((text or "").split("\n\n")[0].split()))


def cell(text: str) -> str:
    """Text that Markdown takes as it stands; what is in backquotes is left alone."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        for sign in "*_<":
            pieces[place] = pieces[place].replace(sign, f"\\{sign}")
    return "`".join(pieces).replace("|", "\\|")
