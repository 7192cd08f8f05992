"""What a memory keeps and what a token costs, counted for one sequence and all heads."""

from math import prod

import torch

from miras.memory import Memory
from miras.state import State, start
from miras.token import Token

LENGTH = 1024
"""Tokens at which a memory that grows is counted."""


def state_floats(memory: Memory, heads: int, key_dim: int, value_dim: int) -> dict[str, int]:
    """Numbers kept, by what they are, from real tensors.

    A memory of pairs is counted after 1,024 tokens; windows and batches when they hold the most.
    """
    state = start(memory, 1, heads, key_dim, value_dim)
    if memory.architecture.stores_pairs:
        state = state._replace(weights=_pairs(memory, state, heads, key_dim, value_dim))
    groups = {
        "weights": state.weights,
        **state.buffers,
        "start of the chunk": state.anchor,
        "weights that are read": state.exposed,
        "previous output": state.output,
    }
    counts = {name: sum(leaf.numel() for leaf in group.values()) for name, group in groups.items()}
    full = {"window": memory.bias.window - 1}
    full |= {"batch": memory.stepping.batch - 1} if memory.stepping else {}
    for name in full.keys() & state.buffers.keys():
        one_token = sum(prod(leaf.shape[3:]) for leaf in groups[name].values())
        counts[name] = heads * full[name] * one_token
    return {name: count for name, count in counts.items() if count}


def _pairs(
    memory: Memory, state: State, heads: int, key_dim: int, value_dim: int
) -> dict[str, torch.Tensor]:
    mapped = memory.architecture.features.width(key_dim)
    key, value = torch.zeros(1, heads, mapped), torch.zeros(1, heads, value_dim)
    weights, buffers = state.weights, state.buffers
    for place in range(LENGTH):
        token = Token(key, key, value, {}, place)
        weights = memory.architecture.store(weights, key, value)
        weights, buffers = memory.retention.settle(weights, buffers, token)
    return weights


def kept(memory: Memory) -> int:
    """Pairs that a memory of pairs holds after 1,024 tokens."""
    return min(LENGTH, memory.retention.capacity or LENGTH)


def products(memory: Memory, heads: int, key_dim: int, value_dim: int) -> dict[str, int]:
    """Multiply-adds per token of the definition, by what they are for.

    Counted are products with the state: reading, predicting, pulling the error back and writing,
    one product per weight for each retention gate, running sum and link, and the matrices on the
    previous output. Key maps, norms and how gates are made are left out: they cost as many products
    as they have entries. A memory of pairs is counted after 1,024 tokens.
    """
    architecture, step = memory.architecture, memory.stepping
    mapped = architecture.features.width(key_dim)
    rows = value_dim + (1 if architecture.normalised else 0)
    once = architecture.prediction_products(mapped, rows)
    if step is None:
        return {"read": heads * kept(memory) * once}
    leaves = architecture.leaves(mapped, rows).values()
    size = sum(prod(leaf.shape) for leaf in leaves)
    predicts = memory.bias.residual or not architecture.affine
    counts = {
        "read": once,
        "prediction": once if predicts else 0,
        "gradient and write": architecture.gradient_products(mapped, rows),
        "retention": sum(_decays(memory, leaf.axes) * prod(leaf.shape) for leaf in leaves),
        "running sums": len(step.buffers) * size,
        "link": 0 if memory.retention.identity_link else size,
        "recurrence": sum(
            prod(signal.shape[1:])
            for signal in memory.gates(1, key_dim, value_dim).values()
            if not signal.per_token and len(signal.shape) == 3
        ),
    }
    return {name: heads * count for name, count in counts.items() if count}


def _decays(memory: Memory, axes: tuple[str, ...]) -> int:
    """Retention gates that multiply a leaf; a gate that is always 1 does not count."""
    uses = [use for use in memory.uses if use.name.partition("_")[0] == "decay"]
    return sum(use.gate.fixed != 1 and (not use.width or use.width in axes) for use in uses)
