"""Matrix memories in a compiled kernel: every error map that has an expression for it."""

import shutil
from typing import Any

import pytest
import torch

from miras.bias import Bias
from miras.bias.dot import Dot
from miras.bias.huber import Huber
from miras.bias.l1 import L1
from miras.bias.l2 import L2
from miras.bias.lp import Lp
from miras.bias.value_shift import ValueShift
from miras.gate.sigmoid import Sigmoid
from miras.kernels import outer
from miras.known import cells
from miras.memory import Memory
from miras.optimizer.momentum import Momentum
from miras.part import leaves
from miras.plans import plans
from miras.testing import check_plan, check_split, random_tensors

COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler here")

BIASES: list[Bias] = [
    Huber(threshold=Sigmoid()),
    Huber(form="norm"),
    Huber(form="switch", threshold=Sigmoid()),
    L1(),
    Lp(),
    Lp(p=1.5),
    Lp(p=2.5),
    Lp(p=4.0),
    Lp(p=1.0, guard=False),
    ValueShift(shift=Sigmoid()),
]


def with_bias(name: str, bias: Bias) -> Memory:
    like = cells()[name]
    return Memory(
        architecture=like.architecture,
        bias=bias,
        retention=like.retention,
        optimizer=like.optimizer,
    )


@COMPILER
@pytest.mark.parametrize("bias", BIASES, ids=str)
@pytest.mark.parametrize("name", ["gated-deltanet", "kda"])
def test_error_maps_in_a_kernel(bias: Bias, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, plan = with_bias(name, bias), plans()["substitution"]
    check_plan(memory, plan, random_tensors(memory, time=13), before=6)
    check_plan(memory, plan, random_tensors(memory, time=70, strong=True))
    monkeypatch.setenv("MIRAS_KERNELS", "0")
    check_plan(memory, plan, random_tensors(memory, time=40, strong=True))


@COMPILER
@pytest.mark.parametrize("bias", [L2(), Dot(), Huber(threshold=Sigmoid())], ids=str)
@pytest.mark.parametrize("decays", [True, False])
@pytest.mark.parametrize("at", ["retained", "previous"])
def test_momentum_in_a_kernel(bias: Bias, decays: bool, at: Any) -> None:
    like = cells()["gated-deltanet"]
    retention = like.retention if decays else cells()["deltanet"].retention
    optimizer = Momentum(gradient_at=at)
    memory = Memory(
        architecture=like.architecture, bias=bias, retention=retention, optimizer=optimizer
    )
    plan = plans()["substitution" if bias.residual else "linear"]
    check_plan(memory, plan, random_tensors(memory, time=13), before=6)
    check_plan(memory, plan, random_tensors(memory, time=40, strong=True))
    check_split(memory, plan)


def test_every_expression_is_tried() -> None:
    tried = {type(bias) for bias in BIASES}
    biases = (kind() for kind in leaves("miras.bias").values())
    said = {type(bias) for bias in biases if isinstance(bias, Bias) and bias.entrywise()}
    assert said == tried


@COMPILER
def test_a_derivative_of_a_derivative_is_refused() -> None:
    tensors = [torch.randn(1, 3, 1, 2, requires_grad=True) for _ in range(2)]
    value, start = torch.randn(1, 3, 1, 2), torch.zeros(1, 1, 2, 2)
    reading = outer.Reading(early=False, looks=True)
    given = outer.Tokens(tensors[0], tensors[1], None, None, value, None, start)
    found, *_ = outer.outer(reading, given)
    with pytest.raises(RuntimeError, match="MIRAS_KERNELS=0"):
        torch.autograd.grad(found.sum(), tensors, create_graph=True)
