"""Plans of stored pairs that change, where chunks, windows and states of pairs meet."""

from typing import Any

import pytest
import torch

from miras import definition
from miras.known import cells as known
from miras.memory import Memory
from miras.plans.pairs import Pairs
from miras.testing import check_plan, check_split, random_tensors

TURNED = {"kind": "diagonal_plus_rank_one", "address": "linear", "removal": "sigmoid"}
CORRECTED = {"architecture": "kv", "optimizer": "delta_pairs"}
MEMORIES: dict[str, dict[str, Any]] = {
    "faded": CORRECTED | {"retention": "decay"},
    "window": CORRECTED | {"retention": {"kind": "window", "size": 3}},
    "one pair": CORRECTED | {"retention": {"kind": "window", "size": 1}},
    "sink": CORRECTED | {"architecture": {"kind": "kv", "sink": True, "iterations": 2}},
    "fitted": CORRECTED | {"architecture": {"kind": "kv", "slope": "solved"}},
    "turned": CORRECTED | {"retention": TURNED | {"gate": "sigmoid"}},
    "after": {
        "architecture": "kv",
        "optimizer": "closed_form",
        "retention": TURNED | {"gate": "sigmoid", "axis": "key", "order": "after"},
    },
    "from the key": {
        "architecture": "kv",
        "optimizer": "closed_form",
        "retention": TURNED | {"address": None, "removal_axis": "key", "gate": "sigmoid"},
    },
}


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("before", [0, 5, 12], ids=["all", "after five", "one token"])
def test_pairs_of_every_kind(name: str, before: int) -> None:
    memory = Memory.model_validate(MEMORIES[name])
    tensors = random_tensors(memory, time=13, strong=True)
    for chunk in (1, 4, 64):
        check_plan(memory, Pairs(chunk=chunk), tensors, before=before)


@pytest.mark.parametrize("name", ["deltaformer", "path"])
def test_pairs_over_several_chunks(name: str) -> None:
    memory = known()[name]
    check_plan(memory, Pairs(), random_tensors(memory, time=150, batch=1))
    check_split(memory, Pairs(chunk=4), random_tensors(memory, time=11))


@pytest.mark.parametrize("name", ["deltaformer", "path"])
def test_pairs_without_gradients_leave_the_same_state(name: str) -> None:
    memory = known()[name]
    tensors = random_tensors(memory, time=20)
    prepared = definition.prepare(memory, *tensors[:4], 0)
    with torch.no_grad():
        _, found = Pairs(chunk=8).run(memory, prepared, tensors.start(memory))
        _, wanted = definition.recur(memory, prepared, tensors.start(memory))
    assert found.position == wanted.position
    for leaf, tensor in wanted.weights.items():
        torch.testing.assert_close(found.weights[leaf], tensor, rtol=1e-9, atol=1e-9)


def test_pairs_leave_alone_what_attention_or_nothing_knows() -> None:
    plain = {"architecture": "kv", "optimizer": "closed_form"}
    assert not Pairs().fits(Memory.model_validate(plain))
    choosy = CORRECTED | {"optimizer": {"kind": "delta_pairs", "surprise": {}}}
    assert not Pairs().fits(Memory.model_validate(choosy))
    repeated = {"architecture": {"kind": "kv", "iterations": 2}, "retention": TURNED}
    assert not Pairs().fits(Memory.model_validate(plain | repeated))
