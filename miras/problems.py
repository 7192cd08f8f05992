"""What pydantic objects to, as problems of a YAML document: where it is and what to do."""

import json
import re
from collections.abc import Iterable
from inspect import isclass
from typing import Any, NamedTuple, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from miras.document import DataPath, Document, Problem, nearest

HOLES = frozenset({"any", "all", "float", "int"})
"""Keys of a choice that a space leaves open: `{any: [l2, huber]}`, `{float: [0.1, 1.0]}`."""


class _Finding(NamedTuple):
    """One pydantic error, placed in the data; its text is `write <wanted> <sentence>` if wanted."""

    kind: str
    path: DataPath
    sentence: str
    wanted: str = ""


def problems(document: Document, model: Any, at: DataPath, error: ValidationError) -> list[Problem]:
    """The errors of validating the data at a path of the document as that model."""
    data = document.value(at)
    found = [_finding(data, model, detail) for detail in error.errors(include_url=False)]
    outer = {each.path[:depth] for each in found for depth in range(len(each.path))}
    extra = {each.path for each in found if each.kind == _EXTRA}
    kept: dict[DataPath, list[_Finding]] = {}
    for each in found:
        # Of a union, the alternative that the value was meant for has its problems further inside:
        # that the value is not of the other alternatives' types is noise. So is a missing setting
        # that stands there misspelt.
        noise = _about_type(each.kind) and each.path in outer
        misspelt = each.kind == "missing" and any(
            path[:-1] == each.path[:-1] and nearest(str(path[-1]), [str(each.path[-1])])
            for path in extra
        )
        if not noise and not misspelt:
            kept.setdefault(each.path, []).append(each)
    return [
        document.problem((*at, *path), _join(several), at_key=several[0].kind == _EXTRA)
        for path, several in kept.items()
    ]


def _join(findings: list[_Finding]) -> str:
    """One sentence for all alternatives of a union: `write a number or one of l2, huber ...`."""
    wanted = dict.fromkeys(each.wanted for each in findings if each.wanted)
    several = dict.fromkeys(each.sentence for each in findings if not each.wanted)
    ends = [each.sentence for each in findings if each.wanted]
    if wanted:
        several[f"write {' or '.join(wanted)} {max(ends, key=len)}"] = None
    return "; ".join(several)


def _about_type(kind: str) -> bool:
    return kind.endswith(("_type", "_parsing", "_from_float"))


_EXTRA = "extra_forbidden"
_WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text (in quotes if it looks like a number)",
    "tuple": "a list [...]",
    "list": "a list [...]",
}
"""What to write, by the first word of pydantic's error types about types."""

_HOLE = (
    "a choice of a search space, where one value is expected; give the space to `miras search`"
    " through a study that names it, or write one of the choices"
)


def _finding(data: Any, model: Any, detail: ErrorDetails) -> _Finding:
    """Where a pydantic error is in the data, and a sentence with the next step."""
    path, kind, given = _trace(data, detail["loc"]), detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "union_tag_invalid":
        tag = str(context["discriminator"]).strip("'")
        path = (*path, tag) if _has(_follow(data, path), tag) else path
        given = _follow(data, path)
    if kind == "missing":
        path = (*path, detail["loc"][-1])
    for depth in range(len(path) + 1):
        hole = _follow(data, path[:depth])
        if isinstance(hole, dict) and HOLES & cast(dict[str, Any], hole).keys():
            return _Finding("hole", path[:depth], _HOLE)

    instead = f"instead of {_shown(given)}"
    if kind == _EXTRA:
        models = _models_at(model, data, path[:-1])
        names = dict.fromkeys(f.alias or n for m in models for n, f in m.model_fields.items())
        near = nearest(str(path[-1]), names)
        return _Finding(kind, path, f"no such setting; write one of {', '.join(names)}{near}")
    if kind in ("union_tag_invalid", "literal_error", "enum"):
        allowed = str(context.get("expected_tags") or context.get("expected"))
        names = [name.strip("'") for name in re.split(r", | or ", allowed)]
        return _Finding(kind, path, instead + nearest(str(given), names), _one_of(names))
    if kind in ("value_error", "assertion_error"):
        sentence = str(context.get("error", detail["msg"]))
        # A sentence about parts that do not fit begins with the part that it is about.
        first = re.split(r"\W", sentence, maxsplit=1)[0]
        return _Finding(
            kind, (*path, first) if _has(_follow(data, path), first) else path, sentence
        )
    kinds = _kinds(_models_at(model, data, path))
    if kind == "missing":
        return _Finding(kind, path, f"is missing; add `{path[-1]}:` with {_one_of(kinds)}")
    if kind == "union_tag_not_found":
        return _Finding(kind, path, f"its kind is missing; add `kind:` with {_one_of(kinds)}")
    if _about_type(kind):
        if "constant" in kinds and type(given) in (int, float):
            instead += f"; for this number write {{kind: constant, value: {given}}}"
        default = _one_of(kinds) if kinds else "lines of the form `key: value`"
        return _Finding(kind, path, instead, _WANTED.get(kind.split("_")[0], default))
    if (wanted := detail["msg"].removeprefix("Input should be ")) != detail["msg"]:
        return _Finding(kind, path, instead, f"a number {wanted}")
    return _Finding(kind, path, f"{detail['msg']}; change {_shown(given)}")


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(names)}" if len(names) > 1 else "".join(names) or "a value"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else json.dumps(value, default=str, ensure_ascii=False)[:60]


def _follow(data: Any, path: DataPath) -> Any:
    """The data at a path; nothing where there is none."""
    for step in path:
        data = data[step] if _has(data, step) else None
    return data


def _trace(data: Any, location: DataPath) -> DataPath:
    """The steps of pydantic's location that are in the data: not the tags of unions."""
    if not location:
        return ()
    step, rest = location[0], location[1:]
    without = _trace(data, rest)
    if not _has(data, step):
        return without
    inside = (step, *_trace(data[step], rest))
    # a kind may have the name of a setting: {kind: window, window: 64}
    tag = rest and isinstance(data, dict) and cast(dict[str, Any], data).get("kind") == step
    return inside if not tag or len(inside) > len(without) else without


def _has(data: Any, step: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(cast(list[Any], data))
    return isinstance(data, dict) and step in data


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, whatever unions and containers they stand in."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _models_at(annotation: Any, data: Any, path: DataPath) -> list[type[BaseModel]]:
    """The models that the value at a path may be; one, if its kind is written there."""
    models = _models(annotation)
    for step in (*path, None):
        kind = cast(Any, data).get("kind") if isinstance(data, dict) else data
        models = [each for each in models if kind in _kinds([each])] or models
        if step is not None:
            fields = [f for each in models for n, f in each.model_fields.items() if n == step]
            if fields:  # else a position in a list, or a key of a mapping of models
                models = [inner for field in fields for inner in _models(field.annotation)]
            data = _follow(data, (step,))
    return models


def _kinds(models: Iterable[type[BaseModel]]) -> list[str]:
    return [each.model_fields["kind"].default for each in models if "kind" in each.model_fields]
