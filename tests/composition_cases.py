"""Compositions to test, and random tensors for them."""

from typing import Any

import torch
from torch import Tensor

from miras.composition import AnyCell, Composition
from miras.composition.contract import Inputs
from miras.composition.either import initial_weights, start
from miras.load import loads
from miras.memory import Memory
from miras.operator import run
from miras.testing import random_tensors

GDN = "{use: gated-deltanet, wiring: {}}"
SMALL = "{architecture: {kind: mlp, depth: 2, expansion: 1.0}, retention: decay}"

CASES: dict[str, str] = {
    "parallel": "{compose: parallel, of: [gla, titans-lmm]}",
    "parallel, shared out": "{compose: parallel, combine: share, norm: true, mix: sigmoid,"
    " of: [gla, {use: sliding-window, retention: {size: 3}}, deltanet]}",
    "parallel, product": "{compose: parallel, combine: product, norm: true,"
    " of: [{use: sliding-window, retention: {size: 3}}, titans-lmm]}",
    "chain": "{compose: chain, of: [{use: deltanet, every: 1}, "
    " {use: deltanet, every: 4, optimizer: {step: {kind: sigmoid, scale: 0.25}}},"
    " {use: titans-lmm, every: 8}]}",
    "chain with residual": "{compose: chain, residual: true, of: [deltanet, gla]}",
    "levels": "{compose: levels, of: gated-deltanet, mix: softplus}",
    "levels, few": "{compose: levels, of: linear-titans, levels: 2, mix: sigmoid}",
    "resets": "{compose: resets, of: titans-lmm, segment: 5}",
    "resets, projected": "{compose: resets, of: gla, segment: 3, project: true}",
    "segments": "{compose: segments, of: titans-lmm, segment: 4}",
    "segments, residual": "{compose: segments, of: gla, segment: 3, read: residual}",
    "segments, nearest": "{compose: segments, of: deltanet, segment: 3, read: top_k, top_k: 2}",
    "segments, soup": "{compose: segments, of: titans-lmm, segment: 5, read: soup, restart: false}",
    "router": "{compose: router, of: gated-deltanet, copies: 3, top_k: 2}",
    "router, one by one": "{compose: router, of: titans-lmm, copies: 2, top_k: 1, shared: false,"
    " route: sigmoid}",
    "consolidate": "{compose: consolidate, of: [gated-deltanet, deltanet], period: 4, steps: 3,"
    " buffer: 5}",
    "consolidate, recalled": "{compose: consolidate, of: [gla, titans-lmm], period: 3, steps: 5,"
    " target: recalled, online: false, mix: sigmoid}",
    "tiers": "{compose: tiers, window: 3, slots: 4, sharpness: 4.0, match: 0.0, threshold: 0.1}",
    "tiers, three": "{compose: tiers, of: gated-deltanet, window: 2, slots: 3, sharpness: 3.0,"
    " match: 0.3, threshold: 0.2, period: 4, promote: 2, mix: sigmoid}",
    "self_referential": "{compose: self_referential, chunk: 4, of: {use: titans-lmm,"
    " optimizer: {kind: gd, gradient_at: anchor, chunk: 4, scale: chunk}}}",
    "serial": "{compose: serial, of: [titans-lmm, {use: sliding-window, retention: {size: 4}}]}",
    "serial with residual": "{compose: serial, residual: true, of: [gla, deltanet]}",
    "context": "{compose: context, of: titans-lmm, segment: 5, persistent: 2}",
    "controller": "{compose: controller, of: gla, layers: 1, heads: 2, feedforward: 8,"
    " positions: 0, dropout: 0.0}",
    "nested": "{compose: parallel, of: [deltanet, {compose: resets, of: deltanet, segment: 4},"
    " {compose: chain, of: [gla, deltanet]}]}",
}
"""YAML by a name that begins with the kind of composition, or with `nested`."""


def composed(text: str) -> Composition:
    """The composition of a YAML text."""
    found: Any = loads(text, AnyCell)
    assert isinstance(found, Composition)
    return found


def gates_of(
    memory: AnyCell, time: int, seed: int = 0, batch: int = 2, heads: int = 2, dim: int = 4
) -> dict[str, Tensor]:
    """Random gates within their ranges; those of cells so small that the cells stay bounded."""
    if isinstance(memory, Memory):
        return random_tensors(
            memory, batch=batch, time=time, heads=heads, key_dim=dim, value_dim=dim, seed=seed
        ).gates
    found: dict[str, Tensor] = {}
    for place, cell in enumerate(memory.cells):
        inner = gates_of(cell, time, seed + 10 * place + 1, batch, heads, dim)
        found |= {f"{place}.{name}": gate for name, gate in inner.items()}
    generator = torch.Generator().manual_seed(seed)
    for name, signal in memory.gates(heads, dim, dim).items():
        if name not in found:
            shape = (batch, time, *signal.shape) if signal.per_token else signal.shape
            noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
            high = min(signal.high, 1.5)
            share = 0.1 + 0.8 * torch.sigmoid(noise)
            found[name] = noise if signal.low < 0 else signal.low + (high - signal.low) * share
    return found


def inputs_of(memory: Composition, time: int, seed: int = 0, dim: int = 4) -> Inputs:
    """A random piece, keys not longer than one or so."""
    generator = torch.Generator().manual_seed(seed + 100)
    query, key, value = (
        torch.randn(2, time, 2, dim, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    signals = memory.gates(2, dim, dim)
    names = frozenset(name for name, signal in signals.items() if signal.per_token)
    return Inputs(query, key / 2, value, gates_of(memory, time, seed, dim=dim), names)


def begin(memory: AnyCell, dtype: torch.dtype = torch.float64, dim: int = 4) -> Any:
    """A state with initial weights that are not zero."""
    weights = {
        name: leaf.to(dtype) for name, leaf in initial_weights(memory, 2, dim, dim, 3).items()
    }
    return start(memory, 2, 2, dim, dim, weights, dtype)


def play(
    memory: AnyCell, inputs: Inputs, state: Any = None, plan: str = "auto"
) -> tuple[Tensor, Any]:
    """`miras.run` on a piece."""
    state = begin(memory, inputs.value.dtype, inputs.value.shape[3]) if state is None else state
    return run(memory, *inputs[:3], inputs.gates, state, plan)
