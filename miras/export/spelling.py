"""Operations of torch as Python writes them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from miras.export.expressions import (
    Expression,
    Group,
    Member,
    Operation,
    Prefixed,
    Text,
    call,
    flat,
    literal,
)
from miras.export.nodes import Node, Ref, Unwritable, ends, several
from miras.export.sizes import Formula, Number

SIGNS = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "pow": "**"},
    **{"remainder": "%", "floor_divide": "//", "gt": ">", "lt": "<", "ge": ">=", "le": "<="},
    **{"eq": "==", "ne": "!=", "and": "&", "or": "|", "truediv": "/", "mod": "%"},
}

USUAL = (("inplace", False), ("mode", "constant"), ("p", 2.0))
"""Options that torch takes anyway."""

VIEWS = {"transpose", "permute", "__getitem__", "unflatten", "flatten", "reshape", "mT", "expand"}
"""Operations that show the same numbers in another shape."""


class Speller:
    """Writes values and operations, by the names that results have got so far."""

    def __init__(self, like: str, primitives: Mapping[str, str]) -> None:
        self.like, self.primitives = like, primitives
        self.names: dict[Ref, str] = {}
        self.written: dict[Ref, Expression] = {}  # what stands inside later expressions
        self.used: set[str] = set()  # inputs
        self.generators: set[torch.Generator] = set()

    def expression(self, value: Any) -> Expression:
        """A value inside an expression."""
        if isinstance(value, Ref):
            if value in self.written:
                return self.written[value]
            if value.node.operation == "constant":
                return Text(value.node.arguments[0])
            if value not in self.names and value.node.operation == "input":
                return Text(str(value.node.arguments[0]))
            if value not in self.names:
                raise Unwritable(f"uses a result of {value.node.operation} before it is there")
            if value.node.operation == "input":
                self.used.add(value.node.arguments[0])
            return Text(self.names[value])
        if isinstance(value, Number):
            return self._number(value.formula)
        if isinstance(value, tuple | list):
            items = [self.expression(each) for each in cast(Sequence[Any], value)]
            return Group(None, *("[", items, "]") if isinstance(value, list) else ("(", items, ")"))
        if isinstance(value, torch.dtype):
            return Text(f"{self.like}.dtype" if value.is_floating_point else str(value))
        if isinstance(value, torch.device):
            return Text(f"{self.like}.device")
        if isinstance(value, torch.Generator):
            return self._generator(value)
        if isinstance(value, slice):
            start, stop, step = ends(cast(Any, value))
            bounds = (start, stop) if step is None else (start, stop, step)
            text = ":".join("" if each is None else flat(self.expression(each)) for each in bounds)
            return Text(text)
        return literal(value)

    def _generator(self, value: torch.Generator) -> Expression:
        if value in self.generators:  # the second draw goes on where the first one stopped
            raise Unwritable("draws several times from one generator of random numbers")
        self.generators.add(value)
        return Text(f"torch.Generator().manual_seed({value.initial_seed()})")

    def _number(self, formula: Formula) -> Expression:
        if formula.operation == "name":
            return Text(str(formula.parts[0]))
        if formula.operation == "shape":
            ref, index, rank = formula.parts
            index = index - rank if index >= 2 else index
            shape = Member(self.expression(ref), "shape")
            return Group(shape, "[", [literal(index)], "]")
        left, right = (self.expression(each) for each in formula.parts)
        return Operation(formula.operation, left, right)

    def index(self, index: Any) -> list[Expression]:
        return [self.expression(each) for each in several(index)]

    def operation(self, node: Node) -> Expression:
        path, arguments = node.operation, node.arguments
        options = {name: each for name, each in node.options.items() if each is not None}
        options = {name: each for name, each in options.items() if (name, each) not in USUAL}
        if path == "alias":
            return self.expression(arguments[0])
        if path in self.primitives:
            return call(Text(path), [self.expression(each) for each in arguments])
        if path == "torch.nn.functional.linear" and (layer := _layer(arguments)):
            return call(Text(layer), [self.expression(arguments[0])])
        owner, _, name = path.rpartition(".")
        if path == "pull":
            return call(Text(self.names[arguments[0]]), [self.expression(arguments[1])])
        if owner == "attribute":
            inner = self.expression(arguments[0])
            if name in ("mT", "T") and isinstance(inner, Member) and inner.name == name:
                return inner.owner
            return Member(self.expression(arguments[0]), name)
        bare = name.strip("_")
        if owner == "torch.Tensor":
            if name == "__getitem__":
                return Group(self.expression(arguments[0]), "[", self.index(arguments[1]), "]")
            if bare in SIGNS and len(arguments) == 2 and not options:
                left, right = (self.expression(each) for each in arguments)
                if bare in ("add", "sub") and isinstance(right, Prefixed) and right.sign == "-":
                    return Operation("-" if bare == "add" else "+", left, right.inner)
                return Operation(SIGNS[bare], left, right)
            backwards = bare[1:] if bare.startswith("r") else ""
            if backwards in SIGNS and len(arguments) == 2:
                right, left = (self.expression(each) for each in arguments)
                return Operation(SIGNS[backwards], left, right)
            if bare in ("neg", "invert"):
                return Prefixed("-" if bare == "neg" else "~", self.expression(arguments[0]))
        items = [self.expression(each) for each in arguments]
        items += [Prefixed(f"{key}=", self.expression(each)) for key, each in options.items()]
        if owner == "torch.Tensor":
            if name == "expand" and (zeros := _zeros(arguments)):
                sizes = [self.expression(each) for each in arguments[1:]]
                return call(Member(self.expression(zeros), "new_zeros"), sizes)
            shorter = _as_index(name, arguments)
            if shorter is not None and len(shorter) == 1:
                return items[0]
            if shorter is not None:
                return Group(items[0], "[", shorter, "]")
            name = "reshape" if name == "view" else name
            return call(Member(items[0], name), items[1:])
        return call(Text(_function(path)), items)


def _zeros(arguments: tuple[Any, ...]) -> Ref | None:
    """What zeros are made like, if they are made to be repeated."""
    made = arguments[0].node
    if made.operation != "torch.Tensor.new_zeros":
        return None
    sizes = made.arguments[1]
    return made.arguments[0] if tuple(arguments[2:]) == sizes else None


def root(node: Node) -> str:
    """The input that a node only shows in another shape."""
    while node.operation.rpartition(".")[2] in VIEWS:
        ref = node.arguments[0]
        if not isinstance(ref, Ref):
            return ""
        node = ref.node
    name = str(node.arguments[0]) if node.operation == "input" else ""
    return name if name.isidentifier() else ""


def _layer(arguments: tuple[Any, ...]) -> str:
    """The `nn.Linear` that weights belong to."""
    names = [each.node.arguments[0] for each in arguments[1:] if isinstance(each, Ref)]
    if not names or not all(str(name).startswith("self.") for name in names):
        return ""
    return str(names[0]).removesuffix(".weight")


def _function(path: str) -> str:
    for long, short in (
        ("torch.nn.functional.", "F."),
        ("torch.functional.", "torch."),
        ("torch.nn.", "nn."),
    ):
        if path.startswith(long):
            return short + path.removeprefix(long)
    return path if path.startswith("torch.") else f"torch.{path}"


def _as_index(name: str, arguments: tuple[Any, ...]) -> list[Expression] | None:
    """`x.reshape(x.shape[0], 1, x.shape[1])` as `x[:, None]`, where axes of one are put in."""
    if name not in ("reshape", "view"):
        return None
    sizes = several(arguments[1]) if isinstance(arguments[1], tuple) else arguments[1:]
    own = arguments[0]
    found: list[Expression] = []
    axis = rank = 0
    for size in sizes:
        formula = size.formula if isinstance(size, Number) else None
        if formula is not None and formula.operation == "shape" and formula.parts[0] == own:
            _, index, rank = formula.parts
            if index != axis:
                return None
            axis += 1
            found.append(Text(":"))
        elif formula is None and size == 1:
            found.append(Text("None"))
        else:
            return None
    if not axis or axis != rank:
        return None
    if [flat(each) for each in found[:axis]] == [":"] * axis:
        return [Text("..."), *found[axis:]]
    return found


def changes(node: Node) -> bool:
    """Whether an operation changes a tensor in its place."""
    name = node.operation.rpartition(".")[2]
    return name.endswith("_") and not name.endswith("__")
