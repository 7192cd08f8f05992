"""What figures take for the choices of a memory, against the memory itself."""

from typing import Any

import numpy as np
import pytest
from plot_cases import record

from miras.known import known
from miras.part import Part
from miras.plots import importance, slots
from miras.result import TrialRecord
from miras.search import load_space
from miras.search.space.derive import draw
from miras.search.trial.evaluation import plain

PLACES = ("memory", "pattern", "change")
"""Choices of a derivation that are no fields of a memory."""


def in_words(value: Any) -> str:
    """A choice, or what a memory has there, as comparable text."""
    if isinstance(value, Part):
        return str(getattr(value, "kind", ""))
    if value is None or value == "null":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def at(memory: Any, slot: str) -> Any:
    for step in slot.split("."):
        memory = memory[int(step)] if step.isdigit() else getattr(memory, step)
    return memory


@pytest.mark.parametrize("name", ["quickstart", "hybrids", "near-gated-deltanet"])
def test_choices_and_learned_defaults_are_what_the_memories_have(name: str) -> None:
    generator, space = np.random.default_rng(3), load_space(name)
    memories: dict[int, Any] = {}
    records: list[TrialRecord] = []
    for number in range(6):
        drawn = draw(space, generator)
        memories[number] = drawn.memory
        written, chosen = plain(drawn.memory), drawn.derivation.choices
        records.append(record(number, "search", memory=written, choices=chosen))
    for number, other in enumerate(["gla", "deltanet", "mamba-2"], len(records)):
        memories[number] = known()[other]
        records.append(record(number, memory=plain(known()[other])))
    told = 0
    for number, chosen in slots.with_defaults(records).items():
        for slot, choice in chosen.items():
            last = slot.rpartition(".")[2]
            if choice == "default" or slot.startswith("change") or last.isdigit():
                continue
            if last not in PLACES:
                assert in_words(choice) == in_words(at(memories[number], slot)), (number, slot)
                told += 1
    assert told > 50


def test_slots_of_a_stack_are_told_apart_by_layer() -> None:
    label = "[gla(optimizer=gd),sliding-window(retention=)]"
    stack = record(
        1,
        "search",
        memory={
            "name": "stack",
            "pattern": [
                {"architecture": {"kind": "matrix"}, "bias": {"kind": "huber", "switch": 2.0}},
                {"architecture": {"kind": "kv"}, "bias": {"kind": "l2"}},
            ],
        },
        choices={
            "pattern": label,
            f"pattern.{label}.0.bias": "huber",
            f"pattern.{label}.0.optimizer.gd.step": "sigmoid(scale=2.0)",
            f"pattern.{label}.1": "sliding-window",
            f"pattern.{label}.1.sliding-window.retention.window.size": 8,
            f"pattern.{label}.2.retention.window.size": 16,
        },
        learning_rate=0.01,
    )
    alone = record(2, memory={"architecture": {"kind": "matrix"}, "bias": {"kind": "dot"}})
    assert slots.choices(stack) == {
        "pattern": "[gla,sliding-window]",
        "pattern.1": "sliding-window",
        "pattern.0.architecture": "matrix",
        "pattern.0.bias": "huber",
        "pattern.0.bias.switch": 2.0,
        "pattern.0.optimizer.step": "sigmoid",
        "pattern.1.architecture": "kv",
        "pattern.1.bias": "l2",
        "pattern.1.retention.size": 8,
        "learning rate": 0.01,
    }
    found = slots.with_defaults([stack, alone])
    assert found[1]["pattern.0.retention"] == found[2]["retention"] == "default"
    assert not {"architecture", "bias", "retention", "optimizer"} & found[1].keys()


def test_slots_of_a_composition() -> None:
    cells = [{"architecture": {"kind": "matrix"}, "every": 4}, {"architecture": {"kind": "mlp"}}]
    chain = record(1, memory={"compose": "chain", "of": cells, "wiring": {"norm": False}})
    found = slots.with_defaults([chain])[1]
    assert (found["compose"], found["of.0.every"], found["of.1.architecture"]) == (
        "chain",
        4,
        "mlp",
    )
    assert found["of.1.bias"] == "default" and "architecture" not in found


def test_importance_of_layers_is_judged_layer_by_layer() -> None:
    """The bias of the second layer decides; that of the first has nothing to do with it."""
    generator = np.random.default_rng(0)
    records: list[TrialRecord] = []
    for number in range(24):
        biases = [str(name) for name in generator.choice(["l2", "dot"], 2)]
        score = 0.4 + 0.4 * (biases[1] == "l2") + 0.02 * generator.standard_normal()
        layers = [{"architecture": {"kind": "matrix"}, "bias": {"kind": bias}} for bias in biases]
        memory = {"name": "stack", "pattern": layers}
        chosen = {f"pattern.{place}.bias": bias for place, bias in enumerate(biases)}
        trial = record(number, "search", memory=memory, choices=chosen)
        records.append(trial.model_copy(update={"objectives": {"recall": float(score)}}))
    first, second = importance.table(records)
    assert first.slot == "pattern.1.bias" and first.explained > 0.9 > 0.3 > second.explained
    assert second.slot == "pattern.0.bias" and first.best == "l2"
