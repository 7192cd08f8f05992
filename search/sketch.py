"""A memory that is not finished: some holes of its space are filled, others are still open.

It can be asked whatever a memory can be asked, and answers as far as it is decided: a rule that
looks at an open hole meets `Undecided`, which names the hole. So the rules that judge whole
memories, and what parts declare, also say beforehand which options fit what is there already.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from miras.gate import Gate
from miras.memory import Memory
from miras.part import Part

from .nodes import Choice, Fields, Fixed, Node, Number, Value, inner, label_of, shortened
from .opening import parts_of, type_of

P = TypeVar("P", bound=Part)


class Undecided(Exception):
    """What was asked depends on a hole that is open."""

    def __init__(self, name: str, hole: Choice | Number) -> None:
        super().__init__(f"{name} is not chosen yet")
        self.name, self.hole = name, hole


class Sketch:
    """What has been decided of a memory of a space, by the names of its holes."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.decisions: dict[str, Value] = {}
        self._memory: Memory | None = None
        self._made: list[dict[str, Any]] = []  # what is known of each part that was looked at
        self.listing = False  # gates are only listed now, and looked at later

    def memory(self) -> Memory:
        """The memory as far as it is decided. Raises Undecided where it is open which one it is."""
        if self._memory is None:
            root, prefix = self.start()
            if isinstance(root, Fields):
                self._memory = self._make(Memory, root.entries, prefix)
            else:
                self._memory = cast(Memory, cast(Fixed, root).read(Memory))
        return self._memory

    def start(self) -> tuple[Node, str]:
        """The memory that was chosen among several, and the name under which its holes are."""
        if not isinstance(self.root, Choice):
            return self.root, ""
        label = str(self.decided("memory", self.root))
        return self.root.options[label], inner("memory", label)

    def decided(self, name: str, hole: Choice | Number) -> Value:
        """What fills a hole. Raises Undecided."""
        name = shortened(name)
        if name not in self.decisions:
            raise Undecided(name, hole)
        return self.decisions[name]

    @contextmanager
    def trying(self, name: str, value: Value) -> Generator[None]:
        """The same memory with one more hole filled, for a while."""
        before, memory = [(known, known.copy()) for known in self._made], self._memory
        self.decisions[name] = value
        try:
            yield
        finally:
            del self.decisions[name]
            del self._made[len(before) :]
            self._memory = memory
            for known, copy in before:
                if len(known) != len(copy):  # nothing that is known is ever replaced
                    known.clear()
                    known.update(copy)

    def resolve(self, node: Node, owner: type[Part], field: str, name: str, label: str = "") -> Any:
        """What stands in a field. Raises Undecided where it is open."""
        match node:
            case Fixed():
                return node.read(_wanted(owner, field))
            case Number():
                return self.decided(inner(name, label), node)
            case Choice(options):
                chosen = str(self.decided(name, node))
                return self.resolve(options[chosen], owner, field, name, chosen)
            case Fields(_, entries):
                kind = entries.get("kind")
                part = _kinds(owner, field)[kind.value if isinstance(kind, Fixed) else ""]
                return self._make(part, entries, inner(name, label))

    def _make(self, part: type[P], entries: Mapping[str, Node], inside: str) -> P:
        opened: Any = _open(part)
        found: Any = opened.__new__(opened)
        known: dict[str, Any] = {"_source": _Source(self, entries, inside)}
        object.__setattr__(found, "__dict__", known)
        self._made.append(known)
        return found


class _Source(NamedTuple):
    """Where an unfinished part has its fields from."""

    sketch: Sketch
    entries: Mapping[str, Node]
    inside: str


class _Opened:
    """What makes a part an unfinished one: fields are looked up when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        part = cast(type[Part], type(self))
        if name not in part.model_fields:
            raise AttributeError(f"{part.__name__} has no {name!r}")
        sketch, entries, inside = self.__dict__["_source"]
        if name in entries:
            node = entries[name]
            path = f"{inside}.{name}" if inside else name
            try:
                value = sketch.resolve(node, part, name, path, label_of(node))
            except Undecided as found:
                if sketch.listing and (gates := _gates(part, name)):
                    return _unknown(gates[0], found)
                raise
        else:
            value = _default(part, name)
        self.__dict__[name] = value
        return value

    def _whole(self) -> Part:
        """The part itself. Raises Undecided."""
        part = cast(type[Part], type(self))
        given = {name: getattr(self, name) for name in part.model_fields}
        whole = {n: v._whole() if isinstance(v, _Opened) else v for n, v in given.items()}
        return cast(Any, part.__bases__[1]).model_construct(**whole)

    def __eq__(self, other: object) -> bool:
        other = other._whole() if isinstance(other, _Opened) else other
        return self._whole() == other

    def __hash__(self) -> int:
        return hash(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())

    def __iter__(self) -> NoReturn:
        raise TypeError("an unfinished part has no list of fields")


class _OpenedMemory(_Opened):
    """An unfinished memory: gates that are known are shown before those that are not.

    A gate that is open is in the list too; whoever looks at it meets Undecided.
    """

    @property
    def uses(self) -> Iterator[Any]:
        sketch = self.__dict__["_source"].sketch
        open_one: Undecided | None = None
        later: list[Any] = []
        for field in Memory.model_fields:
            sketch.listing = True
            try:
                part: Any = getattr(self, field)
                found = part.uses() if hasattr(part, "uses") else ()
            except Undecided as stopped:
                open_one = open_one or stopped
                continue
            finally:
                sketch.listing = False
            later += [use for use in found if type(use.gate).__name__ == _UNKNOWN]
            yield from (use for use in found if type(use.gate).__name__ != _UNKNOWN)
        yield from later
        if open_one is not None:
            raise open_one


_UNKNOWN = "Unknown"


def _unknown(gate: type[Part], stopped: Undecided) -> Any:
    """A gate of which nothing is known but that it is one."""
    kind: Any = _hidden(gate)
    found = kind.__new__(kind)
    object.__setattr__(found, "__dict__", {"_stopped": stopped})
    return found


@cache
def _hidden(gate: type[Part]) -> type[Part]:
    def ask(self: object, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        stopped = object.__getattribute__(self, "__dict__")["_stopped"]
        raise Undecided(stopped.name, stopped.hole)

    kind: Any = type(gate)
    return kind(_UNKNOWN, (gate,), {"__module__": __name__, "__getattribute__": ask})


@cache
def _gates(owner: type[Part], field: str) -> list[type[Part]]:
    return [kind for kind in _kinds(owner, field).values() if issubclass(kind, Gate)]


@cache
def _wanted(owner: type[Part], field: str) -> Any:
    return type_of(owner.model_fields[field])


@cache
def _kinds(owner: type[Part], field: str) -> dict[str, type[Part]]:
    return parts_of(_wanted(owner, field))


@cache
def _default(part: type[Part], field: str) -> Any:
    return part.model_fields[field].get_default(call_default_factory=True, validated_data={})


@cache
def _open(part: type[Part]) -> type[Part]:
    """The same kind of part, unfinished; `isinstance` and all it declares hold as before."""
    lazy = _OpenedMemory if part is Memory else _Opened
    about = {"__module__": part.__module__, "__doc__": part.__doc__, "__qualname__": part.__name__}
    kind: Any = type(part)
    return kind(part.__name__, (lazy, part), about)
