"""Strict reading of YAML: plain data, and for every value and key its line and column.

Values are read as in YAML 1.2: `1e-3` is a number; `no`, `12:30` and dates are texts. Repeated
keys, tags, aliases that go in circles or unfold beyond measure are errors.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import yaml

from miras.part import SpecError

MAX_BYTES = 2**18
MAX_VALUES = 20_000
MAX_DEPTH = 50

DataPath = tuple[str | int, ...]
"""Keys and list positions that lead from the top of a document to a value."""


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file, and what to do about it."""

    file: str
    message: str
    place: Place | None = None
    path: DataPath = ()

    def __str__(self) -> str:
        where = ":".join(map(str, (self.file, *(self.place or ()))))
        parts = (where, ".".join(map(str, self.path)), self.message)
        text = ": ".join(part for part in parts if part)
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class SpecFileError(SpecError):
    """A file is wrong. Its text has one line per problem: `file:line:column: path: message`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place or (0, 0)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True)
class Document:
    """The data of a file, and where each value (`values`) and its key (`keys`) stands."""

    name: str
    data: dict[str, Any]
    values: dict[DataPath, Place] = field(repr=False)
    keys: dict[DataPath, Place] = field(repr=False)

    def value(self, path: DataPath) -> Any:
        """The data at a path."""
        found: Any = self.data
        for step in path:
            found = found[step]
        return found

    def error(self, path: DataPath, message: str, *, at_key: bool = False) -> SpecFileError:
        """The error to raise about the value at a path, or about its key."""
        return SpecFileError([self.problem(path, message, at_key=at_key)])

    def problem(self, path: DataPath, message: str, *, at_key: bool = False) -> Problem:
        """A problem at a path; where the file has no such path, at the nearest one above it."""
        known = path
        while known not in self.values:
            known = known[:-1]
        at_key = at_key or known != path
        places = self.keys if at_key and known in self.keys else self.values
        return Problem(self.name, message, places[known], path)


def read(path: Path | str) -> Document:
    """The document in a file. Raises SpecFileError."""
    file, place = Path(path), None
    try:
        if file.is_fifo() and file.parts[1:2] not in (("dev",), ("proc",)):
            message = "a pipe, which may never say anything; name a file"
            raise SpecFileError([Problem(str(path), message)])
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) <= MAX_BYTES:
            return reads(raw.decode("utf-8-sig"), str(path))
        message = f"larger than {MAX_BYTES // 1024} KiB; shorten it, or name the right file"
    except FileNotFoundError:
        there = [found.name for found in file.absolute().parent.glob("*.y*ml")]
        message = f"there is no such file; check its name{nearest(file.name, there)}"
    except IsADirectoryError:
        message = "this is a folder; name one of the YAML files in it"
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check the path and its permissions"
    except UnicodeDecodeError as error:
        before = error.object[: error.start].split(b"\n")
        place = Place(len(before), len(before[-1].decode()) + 1)
        message = "not a text in UTF-8; save the file in that encoding"
    raise SpecFileError([Problem(str(path), message, place)])


def reads(text: str, name: str = "<text>") -> Document:
    """The document in a text; `name` stands for the file in messages. Raises SpecFileError."""
    try:
        root = _Composer(text).get_single_node()
    except yaml.YAMLError as error:
        raise SpecFileError([_syntax(error, text, name)]) from None
    if root is None:
        raise SpecFileError([Problem(name, "the file is empty; " + _WRITE_KEYS, Place(1, 1))])
    builder = _Builder(name)
    data = builder.build(root, (), ())
    if not isinstance(data, dict):
        builder.complain(root, (), "the file has no keys; " + _WRITE_KEYS)
    if builder.problems:
        raise SpecFileError(builder.problems)
    return Document(name, cast(dict[str, Any], data), builder.values, builder.keys)


_WRITE_KEYS = "write lines of the form `key: value`, with a space after the colon"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` (did you mean 'huber'?)` where one of the allowed names is close, else nothing."""
    by_lower = {each.lower(): each for each in allowed}
    found = get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean '{by_lower[found[0]]}'?)" if found else ""


def _int(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _float(text: str) -> float:
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text))  # .inf and .nan are inf and nan in Python


_CORE = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        _float,
    ),
}
"""Plain scalars of YAML 1.2's core schema: the pattern and what it means; others are texts."""

RESOLVERS = [
    (_CORE + tag, re.compile(rf"(?:{pattern})\Z")) for tag, (pattern, _) in _SCALARS.items()
]
"""Tag and pattern of the plain scalars that are not texts, in the form that PyYAML wants."""

_TOO_DEEP = f"nested more than {MAX_DEPTH} deep; write it flatter"
_TOO_MANY = f"more than {MAX_VALUES} values once aliases (*) are unfolded; shorten it"


class _Composer(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2, and a limit to nesting."""

    yaml_implicit_resolvers = {None: RESOLVERS}  # noqa: RUF012 - PyYAML's name and form
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = cast(Any, self).peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    """Turns YAML's nodes into plain data and keeps their places."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[DataPath, Place] = {}
        self.keys: dict[DataPath, Place] = {}
        self.problems: list[Problem] = []

    def complain(self, node: yaml.Node, path: DataPath, message: str) -> None:
        self.problems.append(Problem(self.name, message, _place(node.start_mark), path))

    def stop(self, node: yaml.Node, path: DataPath, message: str) -> NoReturn:
        self.complain(node, path[:4], message)
        raise SpecFileError(self.problems)

    def build(self, node: yaml.Node, path: DataPath, parents: tuple[yaml.Node, ...]) -> Any:
        self.values[path] = _place(node.start_mark)
        if node in parents:
            self.stop(node, path, "contains itself through an alias (*); write the value out")
        if len(parents) >= MAX_DEPTH:
            self.stop(node, path, _TOO_DEEP)
        if len(self.values) > MAX_VALUES:
            self.stop(node, path, _TOO_MANY)
        if node.tag.removeprefix(_CORE) not in (*_SCALARS, "str", "seq", "map"):
            tag = node.tag.replace(_CORE, "!!")
            self.complain(node, path, f"has the tag {tag}; leave the tag out")
        inside = (*parents, node)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), inside) for i, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.Node, path: DataPath, inside: tuple[yaml.Node, ...]) -> Any:
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(key, path, "a list or a mapping as key; write a name")
                continue
            at = (*path, name := str(key.value))
            if name in result:
                first = self.keys[at]
                message = f"written twice, first in line {first.line}; keep one of the two"
                self.complain(key, at, message)
                continue
            if name == "<<":
                self.complain(key, at, "merge keys are not read; write the keys out")
                continue
            self.keys[at] = _place(key.start_mark)
            result[name] = self.build(value, at, inside)
        return result

    def scalar(self, node: yaml.Node, path: DataPath) -> Any:
        tag = node.tag.removeprefix(_CORE)
        try:
            return _SCALARS[tag][1](node.value) if tag in _SCALARS else node.value
        except ValueError:
            self.complain(node, path, f"cannot be read as {tag}; write an ordinary number")


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


_REPAIRS = {
    "mapping values are not allowed": "put the text in quotes, or the key on a line of its own",
    "could not find expected ':'": "write `key: value`",
    "that cannot start any token": "put the text in quotes",
    "expected ',' or": "close the bracket, or put a comma",
    "another document": "keep one document in the file, without `---`",
    "undefined alias": "write the value out, or name an anchor (&) that stands above",
    _TOO_DEEP: "",
}
"""Parts of PyYAML's messages and what a person can do about them."""


def _syntax(error: yaml.YAMLError, text: str, name: str) -> Problem:
    """What PyYAML found, as one sentence with a next step."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position].split("\n")
        message = "a control character; remove it, or name a text file"
        return Problem(name, message, Place(len(before), len(before[-1]) + 1))
    marked = cast(yaml.MarkedYAMLError, error)
    place = _place(cast(yaml.Mark, marked.problem_mark))
    tab = [*text.splitlines(), "", ""][place.line - 1].find("\t", 0, place.column)
    if tab >= 0:
        place = Place(place.line, tab + 1)
        return Problem(name, "a tab where YAML takes only spaces; replace it with spaces", place)
    problem = marked.problem or "cannot be parsed"
    start = marked.context_mark
    if marked.context and start and start.line + 1 != place.line:
        problem = f"{marked.context} that starts in line {start.line + 1}: {problem}"
    default = "check brackets, quotes, indentation and the space after each colon"
    repair = next((step for part, step in _REPAIRS.items() if part in problem), default)
    return Problem(name, f"not valid YAML: {problem}; {repair}" if repair else problem, place)
