"""Run one memory by its definition on numpy arrays: one sequence, one head, float64."""

from typing import Any, NamedTuple

import numpy as np
import torch

from miras import Memory, State, run, start

Array = np.ndarray[Any, np.dtype[np.float64]]


class Played(NamedTuple):
    """What came out."""

    output: Array  # [time, value_dim]
    weights: dict[str, Array]  # the accumulator after the last token
    exposed: dict[str, Array]  # the weights that it stands for
    state: State


def play(
    spec: dict[str, Any],
    query: Array,
    key: Array,
    value: Array,
    gates: dict[str, Any] | None = None,
    weights: dict[str, Array] | None = None,
    plan: str = "definition",
) -> Played:
    """Query, key `[time, key_dim]`, value `[time, value_dim]`; a gate may be one number for all."""
    memory = Memory.model_validate(spec)
    time, key_dim, value_dim = *key.shape, value.shape[1]
    tensors: dict[str, torch.Tensor] = {}
    for name, signal in memory.gates(1, key_dim, value_dim).items():
        shape = (time, *signal.shape[1:]) if signal.per_token else signal.shape[1:]
        gate = torch.from_numpy(
            np.broadcast_to(np.asarray((gates or {})[name], float), shape).copy()
        )
        tensors[name] = gate[None, :, None] if signal.per_token else gate[None]
    first = {name: torch.from_numpy(leaf)[None] for name, leaf in (weights or {}).items()}
    state = start(memory, 1, 1, key_dim, value_dim, first or None, torch.float64)
    query_, key_, value_ = (torch.from_numpy(x.copy())[None, :, None] for x in (query, key, value))
    output, state = run(memory, query_, key_, value_, tensors, state, plan)
    assert isinstance(state, State)
    accumulator = {name: leaf[0, 0].numpy() for name, leaf in state.weights.items()}
    exposed = {
        name: memory.retention.link(leaf)[0, 0].numpy() for name, leaf in state.weights.items()
    }
    return Played(output[0, :, 0].numpy(), accumulator, exposed, state)


class Tokens(NamedTuple):
    """Random tokens with keys of norm 1."""

    query: Array
    key: Array
    value: Array
    decay: Array  # [time], in (0.7, 1)
    step: Array  # [time], in (0.1, 0.9)
    momentum: Array  # [time], in (0.3, 0.9)


def draw(time: int = 24, key_dim: int = 6, value_dim: int = 5, seed: int = 0) -> Tokens:
    """The same tokens for the same seed."""
    dice = np.random.default_rng(seed)
    key = dice.normal(size=(time, key_dim))
    return Tokens(
        query=dice.normal(size=(time, key_dim)),
        key=key / np.linalg.norm(key, axis=1, keepdims=True),
        value=dice.normal(size=(time, value_dim)),
        decay=dice.uniform(0.7, 1, time),
        step=dice.uniform(0.1, 0.9, time),
        momentum=dice.uniform(0.3, 0.9, time),
    )


def same(found: Array, wanted: Array, tolerance: float = 1e-9) -> None:
    """Fail unless all entries agree."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


def ratios(decay: Array) -> Array:
    """product of decay[s+1..t] at [t, s], 0 above the diagonal; `[time]` or `[time, channels]`."""
    time = len(decay)
    found = np.zeros((time, time, *decay.shape[1:]))
    for t in range(time):
        for s in range(t + 1):
            found[t, s] = np.prod(decay[s + 1 : t + 1], axis=0)
    return found
