"""What a memory does, written down while it does it.

Every operation of torch is seen by a `Recorder`, with the names of the variables that hold its
results: choices that the parts of the grammar make in Python are taken, and leave no trace. What
is left is the program of one memory.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import (
    TorchFunctionMode,
    resolve_name,  # pyright: ignore[reportUnknownVariableType]
)

from miras.export.nodes import (
    Node,
    Program,
    Ref,
    Unwritable,
    asked,
    numbers,
    references,
    several,
    tensors,
    written_out,
)
from miras.export.places import Place, caller, place
from miras.export.sizes import Formula, Shape, Size

ATTRIBUTES = {"T", "mT", "H", "mH", "real", "imag"}
ASKED = {"dim", "numel", "is_contiguous", "stride", "data_ptr", "is_floating_point", "is_complex"}
SAME = {"to", "type_as", "float", "double", "contiguous", "expand", "expand_as", "broadcast_to"}
"""Operations that may do nothing."""
FILLED = {"new_zeros", "new_ones", "new_full", "zeros", "ones", "full"}
REFUSED = {"__bool__", "item", "tolist", "__index__", "__int__", "__float__", "nonzero", "equal"}


class Recorder(TorchFunctionMode):
    """Records operations while it is entered."""

    def __init__(self, parameters: Mapping[int, str] | None = None) -> None:
        super().__init__()
        self.parameters = parameters or {}
        self.nodes: list[Node] = []
        self.inputs: dict[str, Node] = {}
        self.known: dict[int, Ref] = {}
        self.alive: list[Any] = []  # an id is that of one tensor as long as the tensor lives
        self.paused = False
        self.cut = False  # the length is given: a cut that takes everything is none
        self.guards: list[tuple[str, Any, Any, bool]] = []

    def input(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor, as an input of the program; a name may be an expression."""
        with self.pause():
            tensor = tensor.view_as(tensor)
        node = Node("input", (name,), {}, Place())
        self.inputs[name] = node
        self._know(tensor, Ref(node))
        return tensor

    def alias(self, tensor: Tensor, at: Place | None = None) -> Tensor:
        """The same tensor as a result of its own, which may get a name of its own."""
        ref = self._reference(tensor)
        with self.pause():
            tensor = tensor.view_as(tensor)
        node = Node("alias", (ref,), {}, at or Place())
        self.nodes.append(node)
        self._know(tensor, Ref(node))
        return tensor

    def primitive(self, name: str, function: Callable[..., Tensor], *args: Tensor) -> Tensor:
        """The result of a function that is called as a whole."""
        with self.pause():
            result = function(*args)
        at = place(caller(2))
        return cast(Tensor, self._record(name, args, {}, result, at))

    def rename(self, tensor: Tensor, name: str) -> None:
        """Give a result the name that it is known by."""
        node = self._reference(tensor).node
        node.at = node.at._replace(names=(name,))

    def decisions(self) -> dict[str, bool]:
        """Comparisons of positions and of sizes that were made, and what came out."""
        found: dict[str, bool] = {}
        for sign, left, right, value in self.guards:
            sides = [asked(each) for each in (left, right)]
            if None not in sides:
                found[f"{sides[0]} {sign} {sides[1]}"] = value
        return found

    def number(self, name: str, value: int) -> Size:
        """A whole number as an input of the program."""
        return Size.of(value, Formula("name", (name,)), self._guard)

    def program(self, results: Mapping[str, Any]) -> Program:
        """What was recorded; `results` by name are tensors and whole numbers."""
        found = {name: self._reference(value) for name, value in results.items()}
        return Program(self.nodes, self.inputs, found)

    @contextmanager
    def pause(self) -> Generator[None]:
        """Nothing is recorded for a while."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    @contextmanager
    def recording(self) -> Generator["Recorder"]:
        """Record what happens here, derivatives of functions included."""
        before = torch.func.vjp
        torch.func.vjp = cast(Any, self._vjp)
        try:
            with self:
                yield self
        finally:
            torch.func.vjp = before

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        path = resolve_name(func) or str(getattr(func, "__name__", func))
        *_, owner, last = ("", *path.split("."))
        if last == "__get__":
            return self._attribute(owner, func, args)
        if last == "__len__" and isinstance(args[0], Tensor):
            return self._shape(args[0])[0]
        if last == "size":
            shape = self._shape(args[0])
            return shape[int(args[1])] if len(args) > 1 else shape
        if last in REFUSED:
            raise Unwritable(f"asks tensors for numbers ({last}), which only a run can answer")
        if last == "__setitem__" or kwargs.get("out") is not None:
            raise Unwritable(f"writes results of {last} into tensors that are there already")
        result: Any = func(*args, **kwargs)
        if last in ASKED or not tensors(result):
            return result
        if self._nothing(last, args, result):
            if isinstance(args[0], Tensor) and result is not args[0]:
                self._know(result, self._reference(args[0]))
            return result
        return self._record(path, args, kwargs, result, place(caller(1)))

    def _nothing(self, name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Whether an operation gives back what it was given."""
        if name in SAME:
            shaped = name.startswith(("expand", "broadcast")) and result.shape == args[0].shape
            return result is args[0] or name == "contiguous" or shaped
        if name == "mul" and isinstance(args[1], float) and args[1] == 1.0:
            return True
        if name == "cat" and len(args[0]) == 1:
            self._know(result, self._reference(args[0][0]))
            return True
        if name == "__getitem__" and result.shape == args[0].shape:
            index = several(args[1])
            whole = all(each is Ellipsis or isinstance(each, slice) for each in index)
            return whole and (self.cut or all(each in (Ellipsis, slice(None)) for each in index))
        return False

    def _attribute(self, name: str, func: Any, args: tuple[Any, ...]) -> Any:
        if name == "shape":
            return self._shape(args[0])
        result = func(*args)
        if name in ATTRIBUTES:
            at = place(caller(2))
            return self._record(f"attribute.{name}", args, {}, result, at)
        return result

    def _shape(self, tensor: Tensor) -> Shape:
        with self.pause():
            sizes = tuple(tensor.shape)
        ref = self._reference(tensor)
        if self._fixed(ref):
            return Shape(sizes)
        return Shape(
            Size.of(size, Formula("shape", (ref, index, len(sizes))), self._guard)
            for index, size in enumerate(sizes)
        )

    def _fixed(self, ref: Ref) -> bool:
        """Whether a tensor has the same shape for all inputs."""
        node = ref.node
        name = node.operation.rpartition(".")[2]
        if node.operation == "input":
            return str(node.arguments[0]).startswith("self.")
        if name in FILLED:
            sizes = node.arguments[1:] if name.startswith("new_") else node.arguments
            return not any(True for _ in numbers(sizes))
        inner = list(references((node.arguments, dict(node.options))))
        return all(self._fixed(each) for each in inner) and name not in (
            "expand",
            "reshape",
            "arange",
            "eye",
            "view",
            "repeat",
        )

    def _record(
        self, path: str, args: tuple[Any, ...], options: Any, result: Any, at: Place
    ) -> Any:
        arguments = tuple(self._reference(each) for each in args)
        named = {name: self._reference(each) for name, each in options.items()}
        node = Node(path, arguments, named, at)
        self.nodes.append(node)
        if isinstance(result, Tensor):
            self._know(result, Ref(node))
        else:
            node.count = len(result)
            for index, each in enumerate(result):
                self._know(each, Ref(node, index))
        return result

    def _know(self, tensor: Tensor, ref: Ref) -> None:
        self.known[id(tensor)] = ref
        self.alive.append(tensor)

    def _reference(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) in self.parameters and id(value) not in self.known:
                name = self.parameters[id(value)]
                self._know(value, Ref(Node("input", (name,), {}, Place())))
            if id(value) not in self.known:
                self._know(value, Ref(Node("constant", (written_out(value),), {}, Place())))
            return self.known[id(value)]
        if isinstance(value, dict):
            pairs = cast(dict[str, Any], value).items()
            return {name: self._reference(each) for name, each in pairs}
        if isinstance(value, tuple | list) and not isinstance(value, Ref):
            kind: Any = list if isinstance(value, list) else tuple
            return kind(self._reference(each) for each in cast(Iterable[Any], value))
        return value

    def _guard(self, sign: str, left: object, right: object, value: bool) -> None:
        self.guards.append((sign, left, right, value))

    def _vjp(self, function: Callable[..., Tensor], weights: Any, **options: bool) -> Any:
        """A function's value and the map from errors to gradients, with the function recorded."""
        if options:
            raise Unwritable("differentiates a function that gives back more than its value")
        at = place(caller(1))
        outer, self.nodes = self.nodes, []
        known, self.inputs = self.inputs, {}
        inside = {name: self.input(name, leaf) for name, leaf in weights.items()}
        value = function(inside)
        inner = self.program({"": value})
        self.nodes, self.inputs = outer, known
        if (simple := self._simple(inner, weights)) is not None:
            return simple
        node = Node("vjp", tuple(self._reference(leaf) for leaf in weights.values()), {}, at)
        node.inner, node.count = inner, 2
        self.nodes.append(node)
        with self.pause():
            prediction = value.clone()
        self._know(prediction, Ref(node, 0))

        def pull(error: Tensor) -> tuple[dict[str, Tensor]]:
            called = Node("pull", (Ref(node, 1), self._reference(error)), {}, at)
            called.count = len(weights)
            self.nodes.append(called)
            with self.pause():
                gradient = {name: torch.randn_like(leaf) for name, leaf in weights.items()}
            for index, leaf in enumerate(gradient.values()):
                self._know(leaf, Ref(called, index))
            return (gradient,)

        return prediction, pull

    def _simple(self, inner: Program, weights: dict[str, Tensor]) -> Any:
        """Value and pull of a function that gives its weights back, side by side."""
        (value,) = inner.results.values()
        own = [Ref(node) for node in inner.inputs.values()]
        if [value] == own:
            ((name, leaf),) = weights.items()

            def pass_on(error: Tensor) -> tuple[dict[str, Tensor]]:
                return ({name: error},)

            return leaf, pass_on
        beside = (tuple(own), -1)
        node: Node = value.node
        if node.operation != "torch.cat" or (*node.arguments, *node.options.values()) != beside:
            return None
        if len({leaf.shape[-1] for leaf in weights.values()}) > 1:
            return None

        def pull(error: Tensor) -> tuple[dict[str, Tensor]]:
            parts = error.chunk(len(weights), dim=-1)
            return (dict(zip(weights, parts, strict=True)),)

        return torch.cat(tuple(weights.values()), dim=-1), pull
