"""The numbers, relatives and text of `miras explain`."""

import json
import re

import pytest
import torch
from hypothesis import given, settings
from twin_prone import Spec, legal, twin_prone

import miras
from miras import explain
from miras.explain.formulas import letter
from miras.known import cells as known
from miras.memory import Memory


@settings(max_examples=25)
@given(twin_prone())
def test_every_memory_can_be_explained(data: Spec) -> None:
    memory = legal(data)
    found = explain.explain(memory, heads=1, key_dim=2, value_dim=3)
    json.dumps(explain.plain(found), allow_nan=False)
    lines = "\n".join((*found.update, *found.read))
    for use in memory.uses:
        # A step that is a fixed divisor of 1 is left out, a reset without recurrence does nothing.
        if use.gate.own and use.name != "reset":
            assert letter(memory, use.name) in lines
    greek = set(re.findall(r"[αβηδ][ᵏᵛ]?_t", lines))
    assert greek <= {gate.written for gate in found.gates}
    assert all(line in explain.text(found) for line in found.where)


@pytest.mark.parametrize("name", sorted(known()))
def test_text_of_known_memories(name: str) -> None:
    found = explain.explain(known()[name])
    told = explain.text(found)
    assert told.startswith(f"{name}\n")
    assert "None" not in told and "{{" not in told
    assert max(len(line) for line in told.splitlines() if "{" not in line) <= 105
    assert all(
        section in told for section in ("Choices", "Update", "Read", "Plans", "Nearest", "Key")
    )
    assert f"  {name}: the same model" in told


def fullest(memory: Memory) -> int:
    """Tokens after which a window or a batch holds the most."""
    step = memory.stepping
    if memory.bias.window > 1 or step is None:
        return memory.bias.window
    late = memory.bias.target == "next_value"  # a key waits for its value
    rereads = step.rereads or memory.architecture.balances
    return step.batch * (1 + late) - 1 if rereads else 2


@pytest.mark.parametrize("name", sorted(known()))
def test_state_is_what_a_run_leaves(name: str) -> None:
    memory, sizes = known()[name], (2, 8, 8)
    length = 1024 if memory.architecture.stores_pairs else max(2, fullest(memory))
    zeros = torch.zeros(1, length, 2, 8)
    gates = {
        signal.name: torch.full(
            (1, length, *signal.shape) if signal.per_token else signal.shape, 0.5
        )
        for signal in memory.gates(*sizes).values()
    }
    _, state = miras.run(memory, zeros, zeros, zeros, gates, plan="definition")
    found = explain.explain(memory, *sizes)
    assert found.state_floats == sum(found.state.values()) == state.floats()


# Per token, with 2 heads, keys of 3 and values of 5.
COSTS: list[tuple[str, dict[str, int]]] = [
    ("deltanet", {"read": 30, "prediction": 30, "gradient and write": 30}),
    ("gla", {"read": 30, "gradient and write": 30, "retention": 30}),
    ("linear-attention", {"read": 36, "gradient and write": 36}),
    (
        "linear-titans",
        {
            "read": 30,
            "prediction": 30,
            "gradient and write": 30,
            "retention": 30,
            "running sums": 30,
        },
    ),
    ("sliding-window", {"read": 2 * 64 * (3 + 5)}),
    ("softmax-attention", {"read": 2 * 1024 * (3 + 5)}),
    # two gates of two rows of matrices on the previous output, and R
    ("gru", {"gradient and write": 10, "retention": 10, "recurrence": 2 * 3 * 25}),
    # hidden size 12: 3 x 12 and 12 x 5 numbers, the error passes back through the second
    (
        "titans-lmm",
        {
            "read": 2 * 96,
            "prediction": 2 * 96,
            "gradient and write": 2 * (96 + 60),
            "retention": 2 * 96,
            "running sums": 2 * 96,
        },
    ),
]


@pytest.mark.parametrize(("name", "products"), COSTS)
def test_multiply_adds(name: str, products: dict[str, int]) -> None:
    found = explain.explain(known()[name], heads=2, key_dim=3, value_dim=5)
    assert found.products == products
    assert found.multiply_adds == sum(products.values())


def test_growth_of_attention() -> None:
    found = explain.explain(known()["softmax-attention"], heads=2, key_dim=3, value_dim=5)
    assert found.growth == 2 * (3 + 5 + 1)
    assert "more per token" in explain.text(found)
    assert explain.explain(known()["sliding-window"]).growth == 0


def test_relatives() -> None:
    data = known()["gated-deltanet"].model_dump() | {"name": "mine"}
    twin = explain.explain(Memory.model_validate(data | {"optimizer": "implicit"}))
    how = {relative.name: relative.how for relative in twin.equals}
    assert how == {"gated-deltanet": "the same model up to a gate: step = step / (1 + step)"}
    assert twin.update[2] == "s_t = β_t / (1 + β_t)"
    assert twin.nearest.name == "deltaproduct"
    several = "optimizer gd, there {kind: multi_step, step: {kind: sigmoid, scale: 2}}"
    assert several in twin.nearest.differences

    other = explain.explain(Memory.model_validate(data | {"wiring": {}}))
    (same,) = other.equals
    assert same.how == "the same operator in another layer, differs in"
    assert same.differences == (
        "wiring.value none, there silu",
        "wiring.output_gate none, there silu",
    )


def test_plan_is_the_one_that_runs() -> None:
    memory = known()["gated-deltanet"]
    found = explain.explain(memory)
    assert [plan.name for plan in found.plans if plan.chosen] == [found.plans[0].name]
    assert found.plans[0].name == miras.operator.choose(memory, 32, 32)
    assert "sequential" in {plan.name for plan in found.plans}
