"""What tests of equivalences share: random tensors in float64, and a run by the definition."""

from typing import Any

import torch
from torch import Tensor

import miras
from miras.memory import Memory
from miras.state import State, start

HEADS, KEY, VALUE, TIME = 2, 4, 3, 9

Spec = dict[str, Any]
Gates = dict[str, Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 17 * len(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def share(*shape: int, low: float = 0.5, high: float = 1.0, seed: int = 0) -> Tensor:
    return low + (high - low) * draw(*shape, seed=seed).sigmoid()


QUERY, KEYS = draw(1, TIME, HEADS, KEY), draw(1, TIME, HEADS, KEY, seed=1)
VALUES = draw(1, TIME, HEADS, VALUE, seed=2)
UNIT = KEYS / KEYS.norm(dim=-1, keepdim=True)
ALPHA, BETA = share(1, TIME, HEADS), share(1, TIME, HEADS, low=0.1, seed=3)
ETA = share(1, TIME, HEADS, low=0.2, high=0.8, seed=4)


def answer(
    spec: Spec,
    gates: Gates | None = None,
    *,
    query: Tensor = QUERY,
    key: Tensor = UNIT,
    value: Tensor = VALUES,
    plan: str = "definition",
) -> Tensor:
    return played(spec, gates, query=query, key=key, value=value, plan=plan)[0]


def played(
    spec: Spec,
    gates: Gates | None = None,
    *,
    query: Tensor = QUERY,
    key: Tensor = UNIT,
    value: Tensor = VALUES,
    first: Gates | None = None,
    plan: str = "definition",
) -> tuple[Tensor, Gates]:
    """Answers, and the weights after the last token; `first [heads, ...]` are those before."""
    memory = Memory.model_validate({"architecture": "matrix"} | spec)
    batch, _, heads, key_dim = key.shape
    began = start(memory, batch, heads, key_dim, value.shape[3], first, torch.float64)
    output, state = miras.run(memory, query, key, value, gates or {}, began, plan=plan)
    assert isinstance(state, State)
    return output, state.weights


def same(one: Tensor, other: Tensor) -> None:
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-9), (one - other).abs().max()


def different(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-3


def decay(axis: str = "scalar") -> Spec:
    return {"retention": {"kind": "decay", "axis": axis}}


DOT: Spec = {"bias": "dot"}
FULL: Spec = {"optimizer": {"kind": "gd", "step": {"kind": "constant", "value": 1.0}}}
ROBUST: Spec = {"bias": {"kind": "huber", "threshold": "sigmoid"}}
