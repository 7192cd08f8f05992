"""Inputs of a memory for a measurement, and our own plan on them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.benchmarks.measure import Entrant, Role
from miras.gate import Signal
from miras.layer import Layer
from miras.memory import Memory
from miras.operator import choose, run
from miras.state import State, initial_weights, start
from miras.testing import random_tensors


class Sizes(NamedTuple):
    """Shapes of a measurement; `size` is that of a head's keys and values."""

    batch: int = 8
    time: int = 1024
    heads: int = 4
    size: int = 64

    @property
    def width(self) -> int:
        """Of a model whose heads these are."""
        return self.heads * self.size


class Inputs(NamedTuple):
    """What `miras.run` takes; every tensor is a leaf that gradients are taken by."""

    memory: Memory
    sizes: Sizes
    query: Tensor
    key: Tensor
    value: Tensor
    gates: dict[str, Tensor]
    weights: dict[str, Tensor]  # initial weights that are learned, by heads

    @property
    def leaves(self) -> list[Tensor]:
        """All inputs that have a gradient."""
        return [self.query, self.key, self.value, *self.gates.values(), *self.weights.values()]

    @property
    def device(self) -> torch.device:
        return self.query.device

    def mapped(self) -> tuple[Tensor, Tensor]:
        """Query and key after the memory's own key map, for peers that have none."""
        places = torch.arange(self.query.shape[1], device=self.device)
        return self.memory.architecture.features.map(self.query, self.key, self.gates, places)

    def start(self) -> State | None:
        """The state before the first token, from the learned weights; none: all zero."""
        if not self.weights:
            return None
        batch, _, heads, key_dim = self.key.shape
        value = self.value
        sizes = (batch, heads, key_dim, value.shape[-1])
        return start(self.memory, *sizes, self.weights, value.dtype, value.device)


def inputs(
    memory: Memory,
    sizes: Sizes,
    device: str = "cpu",
    shared_steps: int = 1,
) -> Inputs:
    """Random inputs in float32, with heads and sizes as the memory's own wiring wants them.

    With `shared_steps` the step of a token is that of the first one of its chunk of so many.
    """
    wiring, heads, key_dim, value_dim = memory.wiring, sizes.heads, sizes.size, sizes.size
    if wiring.heads == "channels":  # a memory of its own for every channel of the model
        share = memory.architecture.keyed
        value_dim = wiring.value_dim or 1
        heads, key_dim = sizes.width // value_dim, wiring.key_dim or value_dim
        key_dim = key_dim if share else 1
    elif wiring.heads:
        heads, key_dim, value_dim = wiring.heads, sizes.width, sizes.width
    value_dim = memory.value_size(key_dim) or value_dim
    found = random_tensors(
        memory,
        batch=sizes.batch,
        time=sizes.time,
        heads=heads,
        key_dim=key_dim,
        value_dim=value_dim,
        dtype=torch.float32,
    )
    gates = dict(found.gates)
    if shared_steps > 1:
        first = torch.arange(sizes.time) // shared_steps * shared_steps
        gates = {n: g[:, first] if n.startswith("step") else g for n, g in gates.items()}
    first = initial_weights(memory, heads, key_dim, value_dim)
    weights = first if any(leaf.any() for leaf in first.values()) else {}
    if weights:
        gates = _lasting(memory.gates(heads, key_dim, value_dim), gates)

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.to(device).contiguous().requires_grad_()

    return Inputs(
        memory,
        sizes,
        leaf(found.query),
        leaf(found.key),
        leaf(found.value),
        {name: leaf(gate) for name, gate in gates.items()},
        {name: leaf(weight) for name, weight in weights.items()},
    )


def _lasting(signals: dict[str, Signal], gates: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gates of a deep memory that leave it some of the weights it starts with, and a plain norm.

    Where decays leave next to nothing of them, the norm divides by next to nothing, and outputs in
    float32 are chance, those of the definition too: there is then nothing to compare.
    """
    found = dict(gates)
    for name, gate in gates.items():
        if name.startswith("decay"):
            found[name] = 1 - (1 - gate) / 500
        elif not signals[name].per_token:
            found[name] = torch.full_like(gate, signals[name].mean)
    return found


def plan_name(given: Inputs, plan: str) -> str:
    """The plan that `auto` means for these sizes."""
    if plan != "auto":
        return plan
    return choose(given.memory, given.key.shape[-1], given.value.shape[-1])


def ours(given: Inputs, plan: str = "auto") -> Entrant:
    """The memory through `miras.run`."""

    def forward() -> Tensor:
        state = given.start()
        tensors = (given.query, given.key, given.value, given.gates)
        return run(given.memory, *tensors, state, plan)[0]

    return Entrant(*_called(plan), forward, given.leaves)


def cell(given: Inputs, plan: str = "auto") -> Entrant:
    """A recurrent cell with the linear map that makes its gates and value from x.

    `torch.nn` has that map inside: so both do the same work, on weights of the same numbers.
    """
    cells = CellWeights.of(given)

    def forward() -> Tensor:
        parts = len(cells.names)
        maps = zip(cells.names, cells.inside.chunk(parts), cells.bias.chunk(parts), strict=True)
        # A map for each gate, as in a layer.
        tokens = {name: F.linear(cells.x, w, b).unsqueeze(2) for name, w, b in maps}
        value = tokens.pop("value")
        gates = tokens | dict(
            zip(cells.matrices, cells.between.chunk(len(cells.names)), strict=True)
        )
        gates = {n: g[None] if n in cells.matrices else g for n, g in gates.items()}
        if cells.shift is not None:
            gates["recurrence_shift"] = cells.shift[None]
        return run(given.memory, value, value, value, gates, None, plan)[0]

    return Entrant(*_called(plan), forward, cells.leaves)


class CellWeights(NamedTuple):
    """Weights of an LSTM or GRU as `torch.nn` stacks them, and what our gates are called there."""

    x: Tensor  # [batch, time, width]
    inside: Tensor  # [parts * width, width], on x
    between: Tensor  # [parts * width, width], on the previous output
    bias: Tensor
    shift: Tensor | None  # beside the previous output, of a GRU
    names: tuple[str, ...]
    matrices: tuple[str, ...]

    @classmethod
    def of(cls, given: Inputs) -> "CellWeights":
        """Random weights, the same for the same seed."""
        batch, time, _, width = given.value.shape
        long = "output" in given.gates
        # i, f, g, o of an LSTM; r, z, n of a GRU
        names = ("step_value", "decay_value", "value", "output")
        names = names if long else ("reset", "decay_value", "value")
        matrices = tuple("recurrence" if n == "value" else f"{n}_recurrence" for n in names)
        generator = torch.Generator().manual_seed(1)

        def leaf(*shape: int) -> Tensor:
            drawn = torch.rand(*shape, generator=generator) * 2 - 1
            return (drawn * width**-0.5).to(given.device).requires_grad_()

        rows = len(names) * width
        x = torch.randn(batch, time, width, generator=generator).to(given.device)
        shift = None if long else leaf(width)
        x = x.requires_grad_()
        return cls(x, leaf(rows, width), leaf(rows, width), leaf(rows), shift, names, matrices)

    @property
    def leaves(self) -> list[Tensor]:
        shift = [] if self.shift is None else [self.shift]
        return [self.x, self.inside, self.between, self.bias, *shift]


def layer(given: Inputs) -> Entrant:
    """The memory in a layer with its projections, gates, norm and output, without convolution."""
    torch.manual_seed(0)
    sizes = given.sizes
    module = Layer(given.memory, sizes.width, sizes.heads, conv=0).to(given.device)
    x = torch.randn(sizes.batch, sizes.time, sizes.width, device=given.device, requires_grad=True)
    note = "our memory with projections from and to the model, as titans-pytorch has them"
    leaves = [x, *module.parameters()]
    return Entrant("miras, as a layer", "layer", lambda: module(x)[0], leaves, None, note)


def _called(plan: str) -> tuple[str, Role]:
    return ("definition", "definition") if plan == "definition" else ("miras", "plan")
