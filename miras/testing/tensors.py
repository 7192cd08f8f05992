"""Random inputs for a memory, within the ranges that its gates declare."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from miras import definition
from miras.gate import Signal
from miras.memory import Memory
from miras.state import State, Weights, initial_weights, start


class Tensors(NamedTuple):
    """What `miras.run` takes, and initial weights."""

    query: Tensor
    key: Tensor
    value: Tensor
    gates: dict[str, Tensor]
    weights: Weights  # [heads, *leaf]

    def part(self, memory: Memory, first: int, last: int) -> "Tensors":
        """The tokens from `first` up to, not including, `last`."""
        signals = self.signals(memory)
        gates = {
            name: gate[:, first:last] if signals[name].per_token else gate
            for name, gate in self.gates.items()
        }
        query, key, value = (tensor[:, first:last] for tensor in self[:3])
        return Tensors(query, key, value, gates, self.weights)

    def to(self, dtype: torch.dtype) -> "Tensors":
        """The same numbers in another type."""
        gates = {name: gate.to(dtype) for name, gate in self.gates.items()}
        weights = {name: leaf.to(dtype) for name, leaf in self.weights.items()}
        query, key, value = (tensor.to(dtype) for tensor in self[:3])
        return Tensors(query, key, value, gates, weights)

    def signals(self, memory: Memory) -> dict[str, Signal]:
        """What the memory calls these gates."""
        _, _, heads, key_dim = self.key.shape
        return memory.gates(heads, key_dim, self.value.shape[3])

    def start(self, memory: Memory) -> State:
        """The state before the first token."""
        batch, _, heads, key_dim = self.key.shape
        value = self.value
        return start(
            memory, batch, heads, key_dim, value.shape[3], self.weights, value.dtype, value.device
        )


def random_tensors(
    memory: Memory,
    *,
    batch: int = 2,
    time: int = 13,
    heads: int = 2,
    key_dim: int = 4,
    value_dim: int | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    size: float = 1.0,
    strong: bool = False,
) -> Tensors:
    """Inputs of standard deviation `size`, the same for the same seed.

    Steps are at most `size` over the largest squared key, the slope of the bias and the tokens that
    share an anchor, so that most memories stay bounded. Retention lies in [0.5, 1], or, if
    `strong`, in [exp(-5), 1].
    """
    generator = torch.Generator().manual_seed(seed)
    value_dim = value_dim or memory.value_size(key_dim) or 4

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    query, key = (size * normal(batch, time, heads, key_dim) for _ in range(2))
    value = size * normal(batch, time, heads, value_dim)
    gates: dict[str, Tensor] = {}
    for name, signal in memory.gates(heads, key_dim, value_dim).items():
        shape = (batch, time, *signal.shape) if signal.per_token else signal.shape
        gates[name] = _gate(name, signal, normal(*shape), strong)
    step = memory.stepping
    if step is not None:
        mapped = definition.prepare(memory, query, key, value, gates, 0).key
        longest = mapped.square().sum(-1).max().item() if memory.architecture.keyed else 1.0
        if "address" in gates:  # slots are corrected along it, as a matrix is along its key
            longest = max(longest, gates["address"].square().sum(-1).max().item())
        together = (step.span if step.scale == "none" else 1) * memory.bias.weight
        bound = size / max(1.0, longest * min(memory.bias.slope, 100.0) * together)
        gates = {n: gate * bound if n.startswith("step") else gate for n, gate in gates.items()}
    weights = {
        name: leaf.double() + 0.3 * size * normal(*leaf.shape)
        for name, leaf in initial_weights(memory, heads, key_dim, value_dim).items()
    }
    for name, leaf in memory.architecture.leaves(1, 1).items():
        weights[name] = weights[name].abs() if leaf.nonnegative else weights[name]
    return Tensors(query, key, value, gates, weights).to(dtype)


def _gate(name: str, signal: Signal, noise: Tensor, strong: bool) -> Tensor:
    if not math.isfinite(signal.low):
        return signal.mean + 0.5 * noise
    share = 0.5 + 0.5 * torch.erf(noise / 2**0.5)  # uniform in [0, 1]
    if name.startswith("decay"):
        share = torch.exp(-5 * share) if strong else 0.5 + share / 2
    elif not math.isfinite(signal.high):
        return signal.low + (share if name.startswith("step") else torch.exp(noise / 2))
    return signal.low + (signal.high - signal.low) * share


def bounded(memory: Memory, tensors: Tensors, limit: float = 1e3) -> bool:
    """Whether the definition keeps outputs and state finite and below `limit` on these inputs."""
    query, key, value, gates, _ = tensors
    with torch.no_grad():
        output, state = definition.run(memory, query, key, value, gates, tensors.start(memory))
    groups = (state.weights, *state.buffers.values())
    numbers = [output, *(leaf for group in groups for leaf in group.values())]
    # A place without a pair has the logarithm of nothing.
    return all(
        bool(((tensor.abs() < limit) | (tensor <= torch.finfo(tensor.dtype).min / 8)).all())
        for tensor in numbers
    )
