"""The plan of memories read as means, where keys are known already and counts are clipped."""

from typing import Any

import pytest
import torch

from miras import definition
from miras.known import cells as known
from miras.memory import Memory
from miras.plans.mean import Mean
from miras.testing import check_plan, check_split, random_tensors

MEAN = {"kind": "weighted_mean", "features": "elu1"}
MEMORIES: dict[str, dict[str, Any]] = {
    "counted each time": {"architecture": MEAN | {"correction": False}},
    "huber": {"architecture": MEAN, "bias": "huber", "retention": "decay"},
    "dot": {"architecture": MEAN, "bias": "dot", "retention": {"kind": "decay", "axis": "key"}},
    "guarded": {"architecture": MEAN, "bias": {"kind": "lp", "p": 3.0}},
    "before the decay": {
        "architecture": MEAN,
        "retention": "decay",
        "optimizer": {"kind": "gd", "gradient_at": "previous"},
    },
    "steps of keys": {"architecture": MEAN, "optimizer": {"kind": "gd", "step_axis": "key"}},
}


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("before", [0, 5, 12], ids=["all", "after five", "one token"])
def test_means_of_every_kind(name: str, before: int) -> None:
    memory = Memory.model_validate(MEMORIES[name])
    tensors = random_tensors(memory, time=13, strong=True)
    for chunk in (1, 4, 32):
        check_plan(memory, Mean(chunk=chunk), tensors, before=before)


def test_means_over_several_chunks() -> None:
    memory = known()["armt"]
    check_plan(memory, Mean(), random_tensors(memory, time=70))
    check_split(memory, Mean(chunk=4), random_tensors(memory, time=11))


def test_counts_are_clipped_on_both_sides_and_the_plan_with_them() -> None:
    memory = Memory.model_validate({"architecture": MEAN | {"features": "relu"}})
    tensors = random_tensors(memory, time=40)
    # Few directions in turn: most keys are known, many more often than once.
    size = torch.rand(40, dtype=torch.float64).add(0.1)[:, None, None]
    key = (tensors.key[:, :3].repeat(1, 14, 1, 1)[:, :40].detach().abs() * size).requires_grad_()
    tensors = tensors._replace(key=key)
    prepared = definition.prepare(memory, *tensors[:4], 0)
    state, clipped = tensors.start(memory), 0
    for t in range(40):
        now = tensors.part(memory, t, t + 1)
        mapped = prepared.key[:, t]
        square = mapped.square().sum(-1)
        known_ = (state.weights["total"] * mapped).sum(-1)
        clipped += int((known_ > square + 1e-5).sum())
        _, state = definition.run(memory, *now[:4], state)
    assert clipped > 20
    for chunk in (8, 32):
        check_plan(memory, Mean(chunk=chunk), tensors)
