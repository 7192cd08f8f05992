"""From YAML to checked models and back.

Everything that is wrong is said at once, each problem with file, line, column and the next step.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from miras.document import (
    RESOLVERS,
    DataPath,
    Document,
    Problem,
    SpecFileError,
    nearest,
    read,
    reads,
)
from miras.problems import HOLES, problems

__all__ = [
    "HOLES",
    "DataPath",
    "Document",
    "Problem",
    "SpecFileError",
    "dump",
    "load",
    "loads",
    "nearest",
    "read",
    "reads",
    "validate",
]

M = TypeVar("M")


def load(path: Path | str, model: type[M] | Any) -> M:
    """The model (a class, or a union of parts) that a file describes. Raises SpecFileError."""
    return validate(read(path), model)


def loads(text: str, model: type[M] | Any, name: str = "<text>") -> M:
    """The model that a text describes; `name` stands for the file in messages."""
    return validate(reads(text, name), model)


def validate(document: Document, model: type[M] | Any, at: DataPath = ()) -> M:
    """The model that a document, or its part at a path, describes. Raises SpecFileError."""
    data = document.value(at)
    adapter = TypeAdapter[M](model)
    try:
        value = adapter.validate_python(data)
    except ValidationError as error:
        raise SpecFileError(problems(document, model, at, error)) from None
    if truths := list(_truths(data, adapter.dump_python(value, by_alias=True, warnings=False))):
        message = "a truth value where a number belongs; write a number"
        raise SpecFileError([document.problem((*at, *path), message) for path in truths])
    return value


def _truths(data: Any, read: Any) -> Iterator[DataPath]:
    """Where pydantic read `true` as 1, which nobody means."""
    if isinstance(data, bool) and isinstance(read, int | float) and not isinstance(read, bool):
        yield ()
    elif isinstance(data, dict) and isinstance(read, dict):
        for key, item in cast(dict[str, Any], data).items():
            yield from ((key, *path) for path in _truths(item, cast(Any, read).get(key)))
    elif isinstance(data, list) and isinstance(read, list | tuple):
        pairs = zip(cast(list[Any], data), cast(list[Any], read), strict=False)
        for index, (item, made) in enumerate(pairs):
            yield from ((index, *path) for path in _truths(item, made))


def brief(model: BaseModel) -> dict[str, Any]:
    """A model as data, without settings at their defaults: what `dump` writes."""
    return _plain(model)


def dump(model: BaseModel) -> str:
    """The YAML text of a model, without settings at their defaults; it loads back equal."""
    text: Any = yaml.dump(
        brief(model),
        Dumper=_Dumper,
        default_flow_style=None,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes a text that this reader, or one of YAML 1.1, would take for something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # PyYAML loses the rarer line breaks unless it is told to escape them
        style = None if data.isprintable() else '"'
        return cast(Any, self).represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, _pattern in RESOLVERS:
    cast(Any, _Dumper).add_implicit_resolver(_tag, _pattern, None)


def _plain(value: Any) -> Any:
    """Mappings, lists and scalars; of a model, the tag and what is not at its default."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        items = ((field, name, _plain(getattr(value, name))) for name, field in fields.items())
        kept = [item for item in items if _is_tag(item[0]) or not _is_default(item[2], item[0])]
        kept.sort(key=lambda item: not _is_tag(item[0]))
        return {field.alias or name: plain for field, name, plain in kept}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Iterable[Any], value)]
    return to_jsonable_python(value, inf_nan_mode="constants")


def _is_tag(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _is_default(plain: Any, field: FieldInfo) -> bool:
    if field.is_required():
        return False
    default = _plain(field.get_default(call_default_factory=True, validated_data={}))
    return plain in (default, {"kind": default})  # the default of a part may be its bare name
