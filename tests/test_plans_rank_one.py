"""Token by token, with retentions that keep tensors of their own or act after the write."""

from typing import Any

import pytest

from miras.memory import Memory
from miras.plans.rank_one import RankOne
from miras.testing import check_plan, check_split, random_tensors

EARLY = {"kind": "gd", "gradient_at": "previous"}
RETENTIONS: dict[str, Any] = {
    "projected": "sphere",
    "saturated": "saturation",
    "cascade": "cascade",
    "consolidated": "consolidation",
    "divergence": {"kind": "f_divergence", "divergence": "chi2"},
    "shrunk": {"kind": "elastic_net", "threshold": 0.01},
    "linked": {"kind": "elastic_net", "form": "dual"},
}


@pytest.mark.parametrize("name", RETENTIONS)
@pytest.mark.parametrize("optimizer", ["gd", EARLY, {"kind": "gd", "step_axis": "value"}])
def test_any_retention_of_a_matrix(name: str, optimizer: Any) -> None:
    matrix = {"kind": "matrix", "features": "silu_l2", "initial_std": 0.2}
    memory = Memory.model_validate(
        {"architecture": matrix, "retention": RETENTIONS[name], "optimizer": optimizer}
    )
    tensors = random_tensors(memory, time=9, strong=True)
    for before in (0, 4, 8):
        check_plan(memory, RankOne(), tensors, before=before)
    check_split(memory, RankOne(), tensors)


def test_a_removal_before_the_write() -> None:
    removing = {"kind": "diagonal_plus_rank_one", "gate": "sigmoid", "axis": "key"}
    memory = Memory.model_validate({"architecture": "matrix", "retention": removing})
    check_plan(memory, RankOne(), random_tensors(memory, time=9, strong=True), before=3)


def test_a_running_sum_beside_a_retention_of_its_own() -> None:
    memory = Memory.model_validate(
        {"architecture": "matrix", "retention": "saturation", "optimizer": "momentum"}
    )
    check_plan(memory, RankOne(), random_tensors(memory, time=9), before=3)
