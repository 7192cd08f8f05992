"""Deep memories in a compiled kernel: every form of network, error map and recurrence."""

import shutil
from typing import Any

import pytest
import torch

from miras.kernels import network
from miras.known import expand
from miras.memory import Memory
from miras.plans import plans
from miras.testing import check_plan, check_split, random_tensors

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler here")

GATE = {"kind": "softplus", "start": 1.0}
DESCENT = {"kind": "gd", "step": "sigmoid"}

CHANGES: dict[str, dict[str, Any]] = {
    "Titans": {},
    "no norm": {"architecture": {"norm": "none"}},
    "rms": {"architecture": {"norm": "rms"}},
    "no residual": {"architecture": {"residual": False}},
    "depth 1": {"architecture": {"depth": 1}},
    "depth 1 with offset": {"architecture": {"depth": 1, "offset": True}},
    "depth 3": {"architecture": {"depth": 3, "offset": True}},
    "depth 4 without norm": {"architecture": {"depth": 4, "norm": "none"}},
    "narrow hidden layer": {"architecture": {"expansion": 0.5}},
    "gelu": {"architecture": {"activation": "gelu"}},
    "relu": {"architecture": {"activation": "relu"}},
    "tanh": {"architecture": {"activation": "tanh"}},
    "no decay": {"retention": "none"},
    "no momentum": {"optimizer": DESCENT},
    "neither": {"optimizer": DESCENT, "retention": "none"},
    "dot": {"bias": "dot"},
    "huber": {"bias": {"kind": "huber", "threshold": GATE}},
    "huber of the norm": {"bias": {"kind": "huber", "form": "norm", "threshold": GATE}},
    "l1": {"bias": "l1"},
    "l3": {"bias": {"kind": "lp", "p": 3.0, "guard": False}},
    "value shift": {"bias": {"kind": "value_shift", "shift": GATE}},
}


def changed(change: dict[str, Any], chunk: int) -> Memory:
    taken = {"gradient_at": "anchor", "chunk": chunk, "scale": "chunk"}
    optimizer = {"kind": "momentum"} | change.get("optimizer", {}) | taken
    entry = {"use": "titans-lmm"} | change | {"optimizer": optimizer}
    return Memory.model_validate(expand(entry))


@pytest.mark.parametrize("name", CHANGES)
def test_deep_memories_in_a_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = 0
    kernel = network.network

    def counted(form: network.Form, tokens: network.Tokens) -> Any:
        nonlocal called
        called += 1
        return kernel(form, tokens)

    monkeypatch.setattr(network, "network", counted)
    plan = plans()["frozen"]
    memory = changed(CHANGES[name], 5)
    check_plan(memory, plan, random_tensors(memory, time=13), before=3)
    check_plan(memory, plan, random_tensors(memory, time=16, strong=True))
    assert called > 0


def test_long_chunks_and_streams_in_a_kernel() -> None:
    plan = plans()["frozen"]
    for chunk, time in ((20, 43), (4, 1)):
        memory = changed({}, chunk)
        check_plan(memory, plan, random_tensors(memory, time=time))
        check_split(memory, plan)
    # Longer than the tokens between two states that are kept. One layer: rounding grows in deep
    # memories with every step.
    one = {"architecture": {"depth": 1, "norm": "none", "offset": True}}
    for chunk, time in ((8, 134), (20, 125)):
        memory = changed(one, chunk)
        check_plan(memory, plan, random_tensors(memory, time=time))


def test_a_derivative_of_a_derivative_is_refused() -> None:
    form = network.Form((2, 3, 2), "gelu", "none", False, True, True, 4, None)
    query, key, value = (torch.randn(1, 3, 1, 2, requires_grad=True) for _ in range(3))
    start = torch.zeros(1, 1, 12)
    given = network.Tokens(
        query, key, value, torch.ones(1, 3, 1), *[None] * 4, start=start, sums=None
    )
    found = network.network(form, given)[0]
    with pytest.raises(RuntimeError, match="MIRAS_KERNELS=0"):
        torch.autograd.grad(found.sum(), query, create_graph=True)
