"""A layer that is watched while its model reads: states before and after, and what was noted."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from miras.info import Info, collecting
from miras.layer import Layer, LayerState, Places
from miras.memory import Memory
from miras.model import Model
from miras.part import SpecError
from miras.state import State
from miras.surprise import link
from miras.token import Weights


class Call(NamedTuple):
    """One call of a watched layer."""

    x: Tensor  # [batch, time, dim]: what the layer was given
    before: LayerState
    after: LayerState
    noted: Mapping[str, list[Tensor]]

    @property
    def state(self) -> State:
        """The state of the memory after the call."""
        return _single(self.after)

    @property
    def last(self) -> State:
        """The state of the memory before the call."""
        return _single(self.before)

    def shown(self, name: str) -> Tensor | None:
        """The last tensor that was noted by a name: that of the last write of a token."""
        tensors = self.noted.get(name)
        return tensors[-1] if tensors else None

    def lengths(self, name: str) -> dict[str, Tensor]:
        """The last noted lengths `name/leaf` by leaf, `[batch, heads]` each."""
        start = f"{name}/"
        return {n[len(start) :]: x[-1] for n, x in self.noted.items() if n.startswith(start)}


def layers(model: Model) -> list[Layer]:
    """The layers around single memories, in the order in which they stand in the model."""
    return [part for part in model.modules() if isinstance(part, Layer) and part.built is None]


def chosen(model: Model, index: int) -> tuple[Layer, Memory]:
    """A layer by its place, and its memory. Raises SpecError if it cannot be watched."""
    found = layers(model)
    if index >= len(found):
        raise SpecError(f"--layer {index}: the model has {len(found)}, counted from 0")
    layer = found[index]
    if not isinstance(layer.memory, Memory):
        raise SpecError(
            f"layer {index} is {layer.memory.name or 'a composition'}, several memories at once,"
            " whose notes cannot be told apart: look at a model of one of them"
        )
    return layer, layer.memory


@contextmanager
def watching(layer: Layer, take: Callable[[Call], None], literal: bool) -> Generator[None]:
    """Inside, `take` hears of every call of the layer.

    `literal`: the layer works by its definition, token by token, and notes what it does; else it
    takes its fastest way and notes nothing of single tokens.
    """
    forward, plan = layer.forward, layer.plan

    def watched(
        x: Tensor, state: LayerState | None = None, at: Places | None = None
    ) -> tuple[Tensor, LayerState]:
        before = state or layer.start(x)
        with collecting(watch=True) if literal else nullcontext(Info()) as found:
            y, after = forward(x, before, at)
        take(Call(x, before, after, found.noted))
        return y, after

    layer.forward, layer.plan = watched, "definition" if literal else plan
    try:
        yield
    finally:
        layer.plan = plan
        del layer.forward


@torch.no_grad()
def watch(model: Model, index: int, tokens: Int64[Tensor, " time"]) -> list[Call]:
    """What the memory of a layer does at each token of one sequence, by its definition.

    Raises SpecError where the layer does not read one token at a time.
    """
    layer, _ = chosen(model, index)
    calls: list[Call] = []
    model.eval()
    with watching(layer, calls.append, literal=True):
        state = None
        for t in range(len(tokens)):
            _, state = model(tokens[None, t : t + 1], state)
            if len(calls) != t + 1 or calls[-1].state.position != t + 1:
                raise SpecError(
                    f"layer {index} does not read one token after the other: the composition around"
                    " it holds tokens back or reads them again. Look at the memory alone"
                )
    return calls


def _single(state: LayerState) -> State:
    assert isinstance(state.memory, State)
    return state.memory


def content(memory: Memory, weights: Weights) -> Weights:
    """The leaves that hold what was stored, without edges, ages and counts of slots."""
    leaves = memory.architecture.leaves(1, 1)
    return {name: leaf for name, leaf in weights.items() if set(leaves[name].axes) != {"slot"}}


def length(memory: Memory, lengths: Mapping[str, Tensor]) -> Tensor | None:
    """Length of all content `[1, heads]` from that of each leaf; None if no leaf is named."""
    known = memory.architecture.leaves(1, 1).keys()
    own = content(memory, {name: each for name, each in lengths.items() if name in known})
    squares = [each.square() for each in own.values()]
    return torch.stack(squares).sum(0).sqrt() if squares else None


def stored(memory: Memory, state: State) -> Weights:
    """The weights that a state stands for, as a read sees them."""
    return link(memory, state.weights)


def size(memory: Memory, state: State) -> Tensor:
    """Length of all that a memory stores `[batch, heads]`."""
    leaves = content(memory, stored(memory, state)).values()
    squares = [leaf.detach().reshape(*leaf.shape[:2], -1).square().sum(-1) for leaf in leaves]
    return torch.stack(squares).sum(0).sqrt()


def slots(memory: Memory, state: State) -> Tensor | None:
    """What lies in each slot `[1, heads, slots, numbers]`; None in a memory without slots."""
    leaves = memory.architecture.leaves(1, 1)
    weights = stored(memory, state)
    rows = [
        weights[name].detach()
        for name, leaf in leaves.items()
        if leaf.axes[0] == "slot" and set(leaf.axes) != {"slot"}
    ]
    return torch.cat(rows, dim=-1) if rows else None
