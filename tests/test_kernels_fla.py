"""What is handed to the kernels of `fla-core` on a GPU means there what it means here.

A recurrence in the conventions of `fla-core` stands in for its kernels, and its own plain one where
it is installed.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from miras.kernels import fla
from miras.known import cells
from miras.plans import plans
from miras.testing import check_plan, random_tensors

KNOWN = {
    "linear-attention": "linear",
    "mamba-2": "linear",
    "gla": "linear",
    "deltanet": "delta",
    "gated-deltanet": "delta",
    "kda": "delta",
}
PLAIN = {  # of fla-core, by the module of the kernel
    "simple_gla": "naive_recurrent_simple_gla",
    "gated_delta_rule": "naive_recurrent_gated_delta_rule",
    "kda": "naive_recurrent_kda",
}


def recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    scale: float,
    initial_state: Tensor,
    output_final_state: bool,
) -> tuple[Tensor, Tensor]:
    """S = exp(g) S, then S += k (v - k S) beta, or S += k v without beta; o = scale q S."""
    assert output_final_state
    state, found = initial_state, list[Tensor]()
    for t in range(q.shape[1]):
        if g is not None:
            fading = g[:, t].exp()
            state = state * (fading[..., None] if fading.ndim == 3 else fading[..., None, None])
        value = v[:, t]
        if beta is not None:
            asked = torch.einsum("bhk,bhkv->bhv", k[:, t], state)
            value = beta[:, t, :, None] * (value - asked)
        state = state + k[:, t, :, :, None] * value[..., None, :]
        found.append(scale * torch.einsum("bhk,bhkv->bhv", q[:, t], state))
    return torch.stack(found, 1), state


def borrow(monkeypatch: pytest.MonkeyPatch, operator: Callable[..., Any]) -> list[Any]:
    """As on a GPU with `fla-core`; what was asked of it."""
    asked: list[Any] = []

    def noted(looks: bool, decays: str | None) -> Callable[..., Any]:
        asked.append(fla.OPERATORS[looks, decays])
        return operator

    def available(reading: Any, like: Tensor, key_dim: int) -> bool:
        return fla.known(reading, key_dim)

    monkeypatch.setattr(fla, "operator", noted)
    monkeypatch.setattr(fla, "available", available)
    return asked


@pytest.mark.parametrize("name", KNOWN)
def test_arguments_mean_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, plan = cells()[name], plans()[KNOWN[name]]
    asked = borrow(monkeypatch, recurrence)
    check_plan(memory, plan, random_tensors(memory, time=7), before=3)
    assert asked


@pytest.mark.filterwarnings("default")  # of its import where there is no GPU
@pytest.mark.parametrize(("looks", "decays"), fla.OPERATORS)
def test_the_stand_in_is_what_fla_computes(looks: bool, decays: str | None) -> None:
    pytest.importorskip("fla", reason="the extra `kernels` is not installed")
    module, name = fla.OPERATORS[looks, decays]
    assert callable(getattr(import_module(f"fla.ops.{module}"), name))
    if module not in PLAIN:
        pytest.skip(f"fla-core's plain {module} has no scale")
    plain = getattr(import_module(f"fla.ops.{module}.naive"), PLAIN[module])
    shape = (2, 5, 2, 3)
    given: dict[str, Any] = {name: torch.randn(shape) for name in ("q", "k", "v")}
    given["g"] = -torch.rand(shape if decays == "key" else shape[:3])
    if looks:
        given["beta"] = torch.rand(shape[:3])
    given |= {"scale": 1.0, "initial_state": torch.randn(2, 2, 3, 3), "output_final_state": True}
    for mine, other in zip(recurrence(**given), plain(**given), strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


def test_on_a_cpu_nothing_is_borrowed() -> None:
    memory = cells()["gated-deltanet"]
    reading = fla.Reading(early=False, looks=True)
    assert fla.known(reading, 64)
    assert not fla.available(reading, torch.zeros(1), 64)
    check_plan(memory, plans()["delta"])
