"""Operations and what they hang on: a program as a graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from torch import Tensor

from miras.export.places import Place
from miras.export.sizes import Number
from miras.part import SpecError

SMALL = 64
"""Numbers of a constant tensor that is written out."""


class Unwritable(SpecError):
    """What cannot be written as a program of its own yet."""


class Node:
    """One operation with its results, or an input of the program."""

    def __init__(
        self, operation: str, arguments: tuple[Any, ...], options: Mapping[str, Any], at: Place
    ) -> None:
        self.operation, self.arguments, self.options, self.at = operation, arguments, options, at
        self.count = 0  # of results, where they come as a tuple
        self.inner: Program | None = None  # of a function that is differentiated


class Ref(NamedTuple):
    """A result of a node."""

    node: Node
    place: int = -1  # in a tuple of results


class Program(NamedTuple):
    """Operations in their order, what they start from, and what comes out of them."""

    nodes: list[Node]
    inputs: dict[str, Node]
    results: dict[str, Any]


def references(value: Any) -> Iterator[Ref]:
    """Results of operations inside a value, those that sizes stand for included."""
    if isinstance(value, Ref):
        yield value
    for each in _inside(value):
        yield from references(each)


def numbers(value: Any) -> Iterator[Number]:
    """Numbers with a formula inside a value."""
    if isinstance(value, Number):
        yield value
    else:
        for each in _inside(value):
            yield from numbers(each)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Ref):
        return ()
    if isinstance(value, Number):
        return value.formula.parts
    if isinstance(value, slice):
        return ends(cast(Any, value))
    if isinstance(value, dict):
        return cast(dict[str, Any], value).values()
    return cast(Iterable[Any], value) if isinstance(value, tuple | list) else ()


def ends(value: Any) -> tuple[Any, Any, Any]:
    """Start, stop and step of a slice."""
    return value.start, value.stop, value.step


def several(value: Any) -> tuple[Any, ...]:
    """A tuple as it is, anything else as the only member of one."""
    alone: tuple[Any, ...] = (value,)
    if isinstance(value, Ref) or not isinstance(value, tuple):
        return alone
    return cast(tuple[Any, ...], value)


def asked(value: Any) -> str | None:
    """A number in writing, if it comes from the position or from sizes of inputs alone."""
    if not isinstance(value, Number):
        return str(value)
    operation, parts = value.formula
    if operation == "name":
        return f"state.{parts[0]}"
    if operation == "shape":
        ref, index, rank = parts
        if ref.node.operation != "input":
            return None
        return f"{ref.node.arguments[0]}.shape[{index - rank}]"
    sides = [asked(each) for each in parts]
    if None in sides:
        return None
    written = [
        f"({s})" if isinstance(p, Number) and p.formula.operation not in ("name", "shape") else s
        for s, p in zip(sides, parts, strict=True)
    ]
    return f"{written[0]} {operation} {written[1]}"


def tensors(value: Any) -> bool:
    """Whether a result is a tensor, or several."""
    if isinstance(value, Tensor):
        return True
    if not isinstance(value, tuple | list):
        return False
    each = cast(Sequence[Any], value)
    return bool(each) and all(isinstance(one, Tensor) for one in each)


def written_out(tensor: Tensor) -> str:
    """A constant as Python writes it."""
    if tensor.requires_grad or tensor.numel() > SMALL:
        raise Unwritable(f"holds a table of {tensor.numel()} numbers, too many to write out")
    return f"torch.tensor({tensor.tolist()})"
