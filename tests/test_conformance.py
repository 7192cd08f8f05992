"""Every memory that can be written: plans compute the definition, in pieces and causally."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from miras.known import cells as known
from miras.memory import Memory
from miras.operator import choose
from miras.part import Part, leaves
from miras.plans import Plan, plans
from miras.testing import (
    Tensors,
    bounded,
    check_architecture,
    check_bias,
    check_causality,
    check_features,
    check_gate,
    check_optimizer,
    check_part,
    check_plan,
    check_retention,
    check_split,
    memories,
    parts,
    random_tensors,
)

# The shape checker draws random numbers to pick which items of a dict it looks at.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

PLANS = plans()
FAST = [kind for kind in PLANS if kind != "sequential"]
PER_PLAN, PER_KIND = 60, 4
"""Random sentences that fit each fast plan, and sentences with each kind of part."""

AXES: dict[str, Callable[..., None]] = {
    "architecture": check_architecture,
    "bias": check_bias,
    "features": check_features,
    "gate": check_gate,
    "optimizer": check_optimizer,
    "retention": check_retention,
}


def sentences(count: int):
    """The same random examples in every run, however long they take."""
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=slow,
    )


def fitting(memory: Memory) -> Iterator[Plan]:
    """Every fast plan that fits: as it is, then in PyTorch alone and in many small chunks."""
    found = [PLANS[kind] for kind in FAST if PLANS[kind].fits(memory)]
    yield from found
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRAS_KERNELS", "0")
        for plan in found:
            yield plan.model_copy(update={"chunk": 4}) if hasattr(plan, "chunk") else plan


def tensors(memory: Memory, time: int, size: float = 1.0, strong: bool = False) -> Tensors:
    value_dim = memory.value_size(4) or 3
    return random_tensors(memory, time=time, value_dim=value_dim, size=size, strong=strong)


def tame(memory: Memory, time: int, strong: bool, seen: Counter[str]) -> Tensors:
    """Inputs, made smaller until the definition itself stays bounded; how often is counted."""
    for size in (1.0, 1 / 4, 1 / 16, 1 / 64):
        found = tensors(memory, time, size, strong)
        if bounded(memory, found):
            seen["smaller" if size < 1 else "full size"] += 1
            return found
    seen["explosive"] += 1
    return found


@pytest.mark.parametrize("name", known())
@pytest.mark.parametrize("strong", [False, True], ids=["weak", "strong"])
def test_plans_of_known_memories(name: str, strong: bool) -> None:
    memory = known()[name]
    inputs = tensors(memory, 13, strong=strong)
    for plan in fitting(memory):
        check_plan(memory, plan, inputs)
        check_plan(memory, plan, inputs, before=7)
        check_plan(memory, plan, inputs, before=12)
        check_plan(memory, plan, inputs.to(torch.float32), before=3)


@pytest.mark.parametrize("name", known())
def test_known_memories_in_pieces_and_in_order(name: str) -> None:
    memory = known()[name]
    check_split(memory, "auto", tensors(memory, 9))
    check_causality(memory, "auto", tensors(memory, 9))


@pytest.mark.parametrize("kind", FAST)
def test_plans_of_random_memories(kind: str) -> None:
    seen: Counter[str] = Counter()

    @sentences(PER_PLAN)
    @given(
        memory=memories(PLANS[kind].fits),
        strong=st.booleans(),
        before=st.sampled_from([0, 1, 6]),
        count=st.sampled_from([1, 5, 13]),
    )
    def check(memory: Memory, strong: bool, before: int, count: int) -> None:
        seen["all"] += 1
        inputs = tame(memory, before + count, strong, seen)
        for plan in fitting(memory):
            check_plan(memory, plan, inputs, before=before)
        check_plan(memory, PLANS[kind], inputs.to(torch.float32), before=before)

    check()
    assert seen["all"] >= PER_PLAN
    assert seen["smaller"] + seen["explosive"] <= seen["all"] / 5, seen
    assert seen["explosive"] <= seen["all"] / 20, seen


@pytest.mark.parametrize("axis", ["architecture", "bias", "retention", "optimizer"])
def test_any_random_memory(axis: str) -> None:
    seen: Counter[str] = Counter()

    def try_with(kind: type[Part]) -> None:
        @sentences(PER_KIND)
        @given(
            memory=memories(lambda memory: type(getattr(memory, axis)) is kind),
            strong=st.booleans(),
            count=st.sampled_from([1, 4, 7]),
        )
        def check(memory: Memory, strong: bool, count: int) -> None:
            seen["all"] += 1
            inputs = tame(memory, count, strong, seen)
            check_plan(memory, choose(memory, 4, inputs.value.shape[3]), inputs)
            check_split(memory, "auto", inputs)
            check_causality(memory, "auto", inputs)
            check_part(memory)

        check()

    kinds = leaves(f"miras.{axis}").values()
    for kind in kinds:
        try_with(kind)
    assert seen["all"] >= PER_KIND * len(kinds)
    assert seen["smaller"] + seen["explosive"] <= seen["all"] / 5, seen
    assert seen["explosive"] <= seen["all"] / 20, seen


@pytest.mark.parametrize("axis", AXES)
def test_parts(axis: str) -> None:
    for part in leaves(f"miras.{axis}").values():
        check_part(part())
        AXES[axis](part())

    @sentences(40)
    @given(part=parts(f"miras.{axis}"))
    def check(part: Part) -> None:
        check_part(part)
        # Added to a norm against division by zero, a large epsilon is not undone by `unlink`.
        assume(getattr(part, "epsilon", 0.0) < 1e-9)
        AXES[axis](part)

    check()
