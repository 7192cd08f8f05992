"""The functions of a layer, recorded: gates and keys, a token, a piece of a sequence, the start."""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import torch
from torch import Tensor

from miras import definition, fused, kernels
from miras import state as states
from miras.definition import Prepared
from miras.export.helpers import PRIMITIVES
from miras.export.nodes import Node, Program, Unwritable
from miras.export.program import Writer, Written
from miras.export.recording import Recorder
from miras.features import rope
from miras.layer import Layer
from miras.memory import Memory
from miras.operator import choose
from miras.plans import plans, scan
from miras.state import State

PIECE = 16
"""Tokens of a piece, where the fast plan has no size of its own."""

OWN = ("query", "key", "value")
"""What every memory is given."""

MOST = 250
"""Lines of a fast form that somebody still wants in a file, beside the token that it is made of."""


class Sample(NamedTuple):
    """A layer on its way through a sequence: what it sees at some token, and the state before."""

    inputs: Prepared
    state: State


def _never(*_: object) -> bool:
    return False


def _untitled(_: Node) -> str:
    return ""


@contextmanager
def plainly() -> Generator[None]:
    """Torch's own functions instead of kernels, and values without their graphs."""
    with ExitStack() as stack:
        stack.enter_context(kernels.without())
        stack.enter_context(patch.object(fused, "_ours", _never))
        stack.enter_context(torch.no_grad())
        yield


def leaves(state: State) -> dict[str, Tensor]:
    """The tensors of a state by names that differ."""
    found = dict(state.weights)
    for group, tensors in state.buffers.items():
        found |= {_joined(group, name): leaf for name, leaf in tensors.items()}
    found |= {f"anchor_{name}": leaf for name, leaf in state.anchor.items()}
    found |= {f"shown_{name}": leaf for name, leaf in state.exposed.items()}
    found |= {f"previous_{name}": leaf for name, leaf in state.output.items()}
    return found


def _joined(group: str, name: str) -> str:
    return f"{group}_{name}" if name.isidentifier() else group


def _refilled(state: State, tensors: Mapping[str, Tensor], position: int) -> State:
    each = iter(tensors.values())
    return State(
        position,
        {name: next(each) for name in state.weights},
        {group: {name: next(each) for name in inner} for group, inner in state.buffers.items()},
        {name: next(each) for name in state.anchor},
        {name: next(each) for name in state.exposed},
        {name: next(each) for name in state.output},
    )


class Functions:
    """Records the functions of one layer around one memory."""

    def __init__(self, layer: Layer, title: Callable[[Node], str]) -> None:
        self.layer, self.title = layer, title
        self.memory = cast(Memory, layer.memory)
        self.names = {id(leaf): _path(name) for name, leaf in _tensors(layer)}

    def start(self) -> Written:
        """The state before the first token, for x `[batch, time, dim]`."""
        layer, recorder = self.layer, self._recorder()
        x, shapes = torch.randn(3, 5, layer.width), self._unlearned()
        with plainly(), recorder.recording():
            x = recorder.input("x", x)
            weights = dict(layer.initial.items())
            weights |= {name: x.new_zeros(shape) for name, shape in shapes.items()}
            sizes = (x.shape[0], layer.heads, layer.key_dim, layer.value_dim)
            state = states.start(self.memory, *sizes, weights, x.dtype, x.device)
        return self._written(recorder.program(leaves(state)), "x")

    def _unlearned(self) -> dict[str, tuple[int, ...]]:
        """Weights that start at zero, and their shapes."""
        sizes = (self.layer.heads, self.layer.key_dim, self.layer.value_dim)
        first = states.initial_weights(self.memory, *sizes)
        found: dict[str, tuple[int, ...]] = {}
        for name, leaf in first.items():
            if name in self.layer.initial:
                continue
            if bool((leaf != 0).any()):
                raise Unwritable(f"starts with {name} drawn by chance and not learned")
            found[name] = tuple(leaf.shape)
        return found

    def prepare(self) -> Written:
        """What the recurrence sees, from x, the projected query, key and value, and a position."""
        found: list[Written] = []
        for batch, time in ((3, 5), (5, 7)):
            layer, recorder = self.layer, self._recorder()
            x = torch.randn(batch, time, layer.width)
            with plainly():
                heads = layer._heads(layer.project(x))  # pyright: ignore[reportPrivateUsage]
                with recorder.recording(), _primitives(recorder):
                    x = recorder.input("x", x)
                    named = zip(OWN, heads, strict=True)
                    query, key, value = (recorder.input(name, each) for name, each in named)
                    position = recorder.number("position", 0)
                    gates = layer._made(x, position)  # pyright: ignore[reportPrivateUsage]
                    args = (self.memory, query, key, value, gates, position)
                    seen = definition.prepare(*args)
            results = {"query": seen.query, "key": seen.key, "value": seen.value} | seen.gates
            found.append(self._written(recorder.program(results), "x"))
        if found[0] != found[1]:
            raise Unwritable("makes gates or keys in a way that depends on the length of the input")
        return found[0]

    def samples(self, tokens: int) -> list[Sample]:
        """A layer at each of the first tokens of a sequence."""
        layer = self.layer
        with plainly():
            x = torch.randn(3, tokens, layer.width)
            query, key, value = layer._heads(layer.project(x))  # pyright: ignore[reportPrivateUsage]
            gates = layer._made(x, 0)  # pyright: ignore[reportPrivateUsage]
            inputs = definition.prepare(self.memory, query, key, value, gates, 0)
            state = layer.start(x).memory
            found: list[Sample] = []
            for at in range(tokens):
                now = _cut(inputs, at, 1)
                found.append(Sample(now, cast(State, state)))
                _, state = definition.recur(self.memory, now, cast(State, state))
        return found

    def token(self, sample: Sample) -> tuple[Written, dict[str, bool]]:
        """What one token does, and the comparisons of numbers that its program rests on."""
        recorder = self._recorder()
        tokens, _ = _named(sample.inputs)
        with plainly():
            first = {name: leaf[:, 0] for name, leaf in tokens.items()}
            with recorder.recording(), self._names_of(recorder):
                now = {name: recorder.input(name, leaf) for name, leaf in first.items()}
                state = self._state(recorder, sample.state)
                query, key, value = (now.pop(name) for name in OWN)
                gates = now | self._constants(sample.inputs)
                output, after = definition.step(self.memory, query, key, value, gates, state)
                output = definition.finish(self.memory, output)
        results = {"": output} | leaves(after)
        return self._written(recorder.program(results), "value"), recorder.decisions()

    @contextmanager
    def _names_of(self, recorder: Recorder) -> Generator[None]:
        """Names for gates, and for weights that are kept as they were."""
        linked, resolved = definition.link, Memory.resolve

        def link(memory: Memory, accumulator: Any) -> Any:
            return {n: recorder.alias(leaf) for n, leaf in linked(memory, accumulator).items()}

        def resolve(memory: Memory, gates: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
            found = resolved(memory, gates, *args, **kwargs)
            for name, gate in found.items():
                if gate is not gates.get(name):
                    recorder.rename(gate, name)
            return found

        with patch.object(definition, "link", link), patch.object(Memory, "resolve", resolve):
            yield

    def piece(self) -> tuple[Written, int] | None:
        """The fast plan over a piece of a sequence, and its length; 0: pieces of any length.

        None where there is none, or where it takes its tokens one by one.
        """
        layer = self.layer
        name = choose(self.memory, layer.key_dim, layer.value_dim)
        plan = plans()[name]
        if name == "sequential":
            return None
        size = int(getattr(plan, "chunk", PIECE))
        stepping = self.memory.stepping
        chunk = stepping.chunk if stepping is not None else 1
        try:
            if chunk > 1:  # a piece is a chunk: it is asked for where one begins
                size, found = chunk, self._planned(plan, chunk, chunk)
            elif (found := self._planned(plan, 5)) == self._planned(plan, 3 * size + 1):
                size = 0
            else:
                found = self._planned(plan, size)
        except Unwritable:
            return None
        return (found, size) if sum(s.count("\n") + 1 for s in found.lines) <= MOST else None

    def _planned(self, plan: Any, time: int, position: int = 3) -> Written:
        recorder = self._recorder()
        recorder.cut = True
        before = self.samples(position + 1)[-1]
        tokens, _ = _named(before.inputs)
        with plainly():
            many = {name: torch.rand(3, time, *leaf.shape[2:]) for name, leaf in tokens.items()}
            with recorder.recording(), _primitives(recorder):
                now = {name: recorder.input(name, leaf) for name, leaf in many.items()}
                state = self._state(recorder, before.state)
                query, key, value = (now.pop(name) for name in OWN)
                inputs = Prepared(query, key, value, now, self._constants(before.inputs))
                output, after = plan.run(self.memory, inputs, state)
                output = definition.finish(self.memory, output)
        results = {"": output} | leaves(after)
        return self._written(recorder.program(results), "value", quiet=True)

    def _state(self, recorder: Recorder, state: State) -> State:
        tensors = {name: recorder.input(name, leaf) for name, leaf in leaves(state).items()}
        return _refilled(state, tensors, recorder.number("position", state.position))

    def _constants(self, inputs: Prepared) -> dict[str, Tensor]:
        return {name: self.layer.constants[name.replace(".", "/")] for name in inputs.constants}

    def _recorder(self) -> Recorder:
        return Recorder(self.names)

    def _written(self, program: Program, like: str, quiet: bool = False) -> Written:
        titled = _untitled if quiet else self.title
        return Writer(program, like, titled, 8, primitives=PRIMITIVES).write()


def _path(name: str) -> str:
    """A parameter as Python asks for it: numbers are places in a sequence of layers."""
    return "self." + re.sub(r"\.(\d+)", r"[\1]", name)


def _tensors(layer: Layer) -> list[tuple[str, Tensor]]:
    return [*layer.named_parameters(), *layer.named_buffers()]


def _named(inputs: Prepared) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    own = {"query": inputs.query, "key": inputs.key, "value": inputs.value}
    return own | inputs.gates, inputs.constants


def _cut(inputs: Prepared, at: int, count: int) -> Prepared:
    query, key, value = (leaf[:, at : at + count] for leaf in inputs[:3])
    gates = {name: leaf[:, at : at + count] for name, leaf in inputs.gates.items()}
    return Prepared(query, key, value, gates, inputs.constants)


@contextmanager
def _primitives(recorder: Recorder) -> Generator[None]:
    """Functions that the exported file has as a whole."""

    def whole(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *args: recorder.primitive(name, function, *args)

    with ExitStack() as stack:
        for module, name in ((scan, "recurrence"), (rope, "rotate")):
            stack.enter_context(patch.object(module, name, whole(name, getattr(module, name))))
        yield
