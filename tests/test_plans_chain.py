"""The plan of a chain of levels, under errors of every kind."""

from typing import Any

import pytest
import torch

from miras import definition
from miras.known import cells as known
from miras.memory import Memory
from miras.plans.chain import Chain
from miras.testing import check_plan, check_split, random_tensors

CHAIN = {"kind": "cascade", "levels": 3, "coupling": 0.5}
MATRIX = {"kind": "matrix", "features": "silu_l2"}
EARLY = {"kind": "gd", "gradient_at": "previous"}
MEMORIES: dict[str, dict[str, Any]] = {
    "dot": {"bias": "dot"},
    "dot, read before": {"bias": "dot", "optimizer": {"kind": "gd", "read": "before"}},
    "l2": {"bias": "l2"},
    "l2 before the flow": {"bias": "l2", "optimizer": EARLY},
    "l2, steps of values": {"bias": "l2", "optimizer": {"kind": "gd", "step_axis": "value"}},
    "l2, read before": {"bias": "l2", "optimizer": EARLY | {"read": "before"}},
    "erase gate": {"bias": "l2", "optimizer": {"kind": "gd", "erase": "sigmoid"}},
    "huber": {"bias": "huber", "optimizer": EARLY},
    "normalised": {
        "bias": "dot",
        "architecture": {"kind": "matrix", "features": "elu1", "normaliser": True},
    },
}


def memory_of(name: str) -> Memory:
    return Memory.model_validate({"architecture": MATRIX, "retention": CHAIN} | MEMORIES[name])


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("before", [0, 5, 12], ids=["all", "after five", "one token"])
def test_chains_under_every_error(name: str, before: int) -> None:
    memory = memory_of(name)
    tensors = random_tensors(memory, time=13, strong=True)
    for chunk in (1, 4, 32):
        check_plan(memory, Chain(chunk=chunk), tensors, before=before)


@pytest.mark.parametrize("levels", [2, 16])
def test_chains_over_several_chunks(levels: int) -> None:
    found = known()["benna-fusi"].model_dump()
    found["retention"]["levels"] = levels
    memory = Memory.model_validate(found)
    check_plan(memory, Chain(), random_tensors(memory, time=70))
    check_split(memory, Chain(chunk=4), random_tensors(memory, time=11))


def test_levels_learn_from_what_was_in_them() -> None:
    memory = memory_of("l2")
    tensors = random_tensors(memory, time=9)
    prepared = definition.prepare(memory, *tensors[:4], 0)
    start = tensors.start(memory)
    levels = torch.randn_like(start.buffers["cascade"]["matrix"]).requires_grad_()
    start = start._replace(buffers={"cascade": {"matrix": levels}})
    found: list[tuple[torch.Tensor, ...]] = []
    for run in (Chain(chunk=4).run, definition.recur):
        output, state = run(memory, prepared, start)
        last = state.buffers["cascade"]["matrix"]
        total = output.square().sum() + last.square().sum()
        found.append((output, last, *torch.autograd.grad(total, levels)))
    for fast, literal in zip(*found, strict=True):
        torch.testing.assert_close(fast, literal, rtol=1e-9, atol=1e-9)
