"""A memory that is not finished: some holes of its space are filled, others are still open.

It can be asked whatever a memory can be asked, and answers as far as it is decided: a rule that
looks at an open hole meets `Undecided`, which names the hole. So the rules that judge whole
memories, and what parts declare, also say beforehand which options fit what is there already.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from miras.gate import Gate
from miras.memory import Memory
from miras.part import Part

from .nodes import (
    Choice,
    Fields,
    Fixed,
    Items,
    Mutation,
    Node,
    Number,
    Value,
    inner,
    label_of,
    shortened,
)
from .opening import parts_of, type_of

P = TypeVar("P", bound=Part)


class Undecided(Exception):
    """What was asked depends on a hole that is open."""

    def __init__(self, name: str, hole: Choice | Number) -> None:
        super().__init__(f"{name} is not chosen yet")
        self.name, self.hole = name, hole


class Check(NamedTuple):
    """A condition on a whole memory: a sentence, or nothing if there is no objection."""

    name: str
    detail: str  # which one, of several of that name
    ask: Callable[[Memory], str]


class Sketch:
    """What has been decided of a memory of a space, by the names of its holes."""

    def __init__(self, root: Node, decisions: Mapping[str, Value]) -> None:
        self.root, self.decisions = root, decisions
        self.looked: dict[str, Value | None] = {}  # what was in the holes that were asked for
        self.listing = False  # gates are only listed now, and looked at later
        self.only: tuple[str, str] | None = None  # slot and field of the one gate that is judged
        self.listed: object = None  # the part of which no other gate is looked at meanwhile

    def memory(self) -> Memory:
        """The memory as far as it is decided. Raises Undecided where it is open which one it is."""
        root, prefix = self.start()
        if isinstance(root, Fields):
            return self._make(Memory, root.entries, prefix)
        return cast(Memory, cast(Fixed, root).read(Memory))

    def start(self) -> tuple[Node, str]:
        """The memory that was chosen among several, and the name under which its holes are."""
        if not isinstance(self.root, Choice):
            return self.root, ""
        label = str(self.decided("memory", self.root))
        return self.root.options[label], inner("memory", label)

    def decided(self, name: str, hole: Choice | Number) -> Value:
        """What fills a hole. Raises Undecided."""
        name = shortened(name)
        value = self.looked.setdefault(name, self.decisions.get(name))
        if value is None:
            raise Undecided(name, hole)
        return value

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
            case Items() | Mutation():
                raise TypeError(f"{name} holds cells, and no part of a memory does")

    def _make(self, part: type[P], entries: Mapping[str, Node], inside: str) -> P:
        opened: Any = _open(part)
        found: Any = opened.__new__(opened)
        known: dict[str, Any] = {"_source": _Source(self, entries, inside)}
        object.__setattr__(found, "__dict__", known)
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
        if sketch.listed is self and name != sketch.only[1] and name in gates_of(part):
            return _other(self, name)
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
        if sketch.only is not None:
            yield from self._uses_of_one(sketch)
            return
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

    def _uses_of_one(self, sketch: Sketch) -> Iterator[Any]:
        slot, field = cast("tuple[str, str]", sketch.only)
        part: Any = getattr(self, slot)
        if not isinstance(part, _Opened):
            yield from part.uses() if not field and hasattr(part, "uses") else ()
            return
        if not hasattr(type(part), "uses") or (field and field not in gates_of(type(part))):
            return
        sketch.listing, sketch.listed = True, part
        try:
            found = cast(Any, part).uses()
        finally:
            sketch.listing, sketch.listed = False, None
        yield from (use for use in found if type(use.gate).__name__ != _OTHER)


def one_gate(slot: str, field: str, check: Callable[[Memory], str], memory: Memory) -> str:
    """What a check that judges every gate by itself says of one; without a field, of the rest."""
    if isinstance(memory, _Opened):
        memory.__dict__["_source"].sketch.only = slot, field
    return check(memory)


@cache
def gates_of(part: type[Part]) -> frozenset[str]:
    """The fields of a part in which a gate may stand."""
    return frozenset(name for name in part.model_fields if _gates(part, name))


_UNKNOWN, _OTHER = "Unknown", "Other"


def _unknown(gate: type[Part], stopped: Undecided) -> Any:
    """A gate of which nothing is known but that it is one."""

    def answer(name: str) -> NoReturn:
        raise Undecided(stopped.name, stopped.hole)

    return _stand_in(gate, _UNKNOWN, answer)


def _other(part: _Opened, field: str) -> Any:
    """A gate that is not asked about: it is looked at only if a part cannot do without it."""

    def answer(name: str) -> Any:
        sketch: Sketch = part.__dict__["_source"].sketch
        listed, sketch.listed = sketch.listed, None
        try:
            return getattr(getattr(part, field), name)
        finally:
            sketch.listed = listed

    return _stand_in(_gates(cast("type[Part]", type(part)), field)[0], _OTHER, answer)


def _stand_in(gate: type[Part], title: str, answer: Callable[[str], Any]) -> Any:
    kind: Any = _hidden(gate, title)
    found = kind.__new__(kind)
    object.__setattr__(found, "__dict__", {"_answer": answer})
    return found


@cache
def _hidden(gate: type[Part], title: str) -> type[Part]:
    def ask(self: object, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        return object.__getattribute__(self, "__dict__")["_answer"](name)

    kind: Any = type(gate)
    return kind(title, (gate,), {"__module__": __name__, "__getattribute__": ask})


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
