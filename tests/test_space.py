"""Spaces and derivations."""

import json
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import optuna
import pytest
import yaml

from miras.canonical import key
from miras.known import cells
from miras.known import cells as known
from miras.load import reads
from miras.memory import SLOTS, Memory
from miras.part import SpecError, leaves
from miras.search.space.derive import (
    Derivation,
    FromChoices,
    FromRandom,
    FromTrial,
    Refusal,
    build,
    count,
    derivations,
    derive,
    draw,
)
from miras.search.space.inverse import placed
from miras.search.space.nodes import Number
from miras.search.space.space import Space, load_space, space_of, space_schema

SPACES = [path.stem for path in sorted((Path(__file__).parent.parent / "spaces").glob("*.yaml"))]
DEAD_ENDS = ("everything", "near-gated-deltanet")
"""Spaces in which choices that exclude each other are met too late, and drawn again."""
RATES = Number(1e-4, 1e-2, log=True)

HOLES = """
    architecture:
      kind: matrix
      features: {any: [silu_l2, {kind: rope, base: {float: [1e1, 1e4, log]}}]}
    bias: {any: [l2, dot, {kind: huber, form: {any: all}, threshold: {any: [constant, softplus]}}]}
    retention: {any: [none, {kind: decay, axis: {any: [scalar, key]}}]}
    optimizer: {kind: gd, gradient_at: anchor, chunk: {int: [2, 4]}, scale: {any: [chunk, key_dim]}}
    wiring: {norm: {any: all}}
"""


def space(text: str) -> Space:
    return space_of(reads(textwrap.dedent(text)), name="test")


def drawn(found: Space, seed: int, rates: Number | None = None) -> Derivation:
    return derive(found, FromRandom(np.random.default_rng(seed)), rates)


def test_names_are_slot_kind_field_and_slots_come_first() -> None:
    found = space(HOLES)
    names: dict[str, None] = {}
    for seed in range(50):
        choices = list(drawn(found, seed, RATES).choices)
        assert choices[:3] == ["bias", "retention", "learning_rate"]  # others have one option
        names |= dict.fromkeys(choices)
    assert set(names) == {
        "bias",
        "retention",
        "learning_rate",
        "architecture.matrix.features",
        "architecture.matrix.features.rope.base",
        "bias.huber.form",
        "bias.huber.threshold",
        "retention.decay.axis",
        "optimizer.gd.chunk",
        "optimizer.gd.scale",
        "wiring.norm",
    }


@pytest.mark.parametrize("name", SPACES)
def test_choosers_agree(name: str) -> None:
    """What chance or Optuna chose is chosen again from the record, and from its JSON."""
    found = load_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for seed in range(5 if name == "everything" else 20):
        trial = study.ask()
        from_trial = derive(found, FromTrial(trial), RATES)
        # what did not fit was replaced, and nothing else
        assert trial.params.keys() == from_trial.choices.keys()
        # In the whole grammar rules that exclude each other leave dead ends, which are drawn again.
        assert not isinstance(build(from_trial.spec), Refusal) or name in DEAD_ENDS
        assert derive(found, FromTrial(trial), RATES) == from_trial
        plain = derive(found, FromTrial(trial), RATES, narrow=False)
        if not isinstance(build(plain.spec), Refusal):
            assert plain == from_trial
        for first in (drawn(found, seed, RATES), from_trial):
            again = derive(found, FromChoices(json.loads(json.dumps(first.choices))), RATES)
            assert again == first
            assert all(slot in first.spec for slot in SLOTS) or "pattern" in first.spec
    assert drawn(found, 3) == drawn(found, 3) != drawn(found, 4)


@pytest.mark.parametrize("name", SPACES)
def test_spaces_of_the_project(name: str) -> None:
    """They hold many different memories; most refusals are rules, none a setting out of range."""
    found = load_space(name)
    keys: set[str] = set()
    most = 30 if name == "everything" else 100
    for seed in range(most):
        memory = build(drawn(found, seed).spec)
        if not isinstance(memory, Refusal):
            keys.add(key(memory))
        else:
            assert name in DEAD_ENDS or not memory.rule.startswith("settings"), memory
    assert len(keys) > most / 4
    written = yaml.safe_load((Path(__file__).parent.parent / f"spaces/{name}.yaml").read_text())
    jsonschema.validate(written, space_schema())


def test_record_of_another_space_is_refused() -> None:
    found = space("{use: deltanet, bias: {any: [l2, dot]}}")
    with pytest.raises(SpecError, match="has 'l1' for bias"):
        derive(found, FromChoices({"bias": "l1"}))
    with pytest.raises(SpecError, match="has nothing for bias"):
        derive(found, FromChoices({}))


def test_order_of_choices_in_the_file_does_not_matter() -> None:
    one = space("{use: deltanet, bias: {any: [l2, dot, {kind: lp, p: {any: [1.5, 3.0]}}]}}")
    two = space("{use: deltanet, bias: {any: [{kind: lp, p: {any: [3.0, 1.5]}}, dot, l2]}}")
    assert [d.choices for d in derivations(one)] == [d.choices for d in derivations(two)]


def test_all_means_every_part_that_builds_by_name() -> None:
    found = space("{architecture: matrix, bias: {any: all}, retention: {any: all}}")
    chosen = [derivation.choices for derivation in derivations(found)]
    assert {each["bias"] for each in chosen} == set(leaves("miras.bias"))
    assert {each["retention"] for each in chosen} == set(leaves("miras.retention"))
    nested = space("{architecture: matrix, bias: {kind: huber, threshold: {any: all}}}")
    gates = {derivation.choices["bias.huber.threshold"] for derivation in derivations(nested)}
    assert gates == set(leaves("miras.gate"))


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        # a change without a kind, or with the same, keeps the rest of the part
        ("retention: {axis: key}", "retention", {"kind": "decay", "axis": "key", "gate": "mamba"}),
        ("retention: {kind: decay, floor: 0.5}", "retention", {"floor": 0.5, "gate": "mamba"}),
        # another kind replaces the part
        ("retention: none", "retention", {"kind": "none"}),
        ("bias: {kind: lp, p: 1.5}", "bias", {"kind": "lp", "p": 1.5}),
        # what is not written stays
        ("bias: dot", "optimizer", {"kind": "gd", "step": "sigmoid", "gradient_at": "retained"}),
        ("bias: dot", "wiring", {"value": "silu", "output_gate": "silu"}),
    ],
)
def test_use_changes_a_known_memory(text: str, field: str, expected: dict[str, Any]) -> None:
    spec = drawn(space(f"use: gated-deltanet\n{text}"), 0).spec
    part = Memory.model_validate(spec).model_dump()[field]
    for name, value in expected.items():
        found = part[name]["kind"] if isinstance(part[name], dict) else part[name]
        assert found == value
    assert "name" not in spec and "paper" not in spec


def test_use_without_a_change_is_the_known_memory() -> None:
    found = space("{any: [deltanet, {use: gla}, {use: retnet, bias: {any: [dot, l2]}}]}")
    by_name = {str(each.choices["memory"]): each for each in derivations(found)}
    assert set(by_name) == {"deltanet", "gla", "retnet"}
    for name in ("deltanet", "gla"):
        assert key(Memory.model_validate(by_name[name].spec)) == key(known()[name])
    assert "memory.retnet.bias" in by_name["retnet"].choices


def test_options_inherit_from_the_memory_that_is_changed() -> None:
    found = space("{use: gated-deltanet, retention: {any: [none, {kind: decay, axis: key}]}}")
    gates = {
        str(each.choices["retention"]): each.spec["retention"].get("gate")
        for each in derivations(found)
    }
    assert gates == {"none": None, "decay(axis=key)": {"kind": "mamba"}}


def test_variants_of_one_kind_have_names_of_their_own() -> None:
    found = space(
        """
        use: deltanet
        optimizer:
          step:
            any:
              - sigmoid
              - {kind: sigmoid, scale: 1.5}
              - {kind: sigmoid, scale: 2, bias: {any: [0, 1]}}
        """
    )
    names = {name: None for each in derivations(found) for name in each.choices}
    assert list(names) == ["optimizer.gd.step", "optimizer.gd.step.sigmoid(scale=2).bias"]
    steps = [each.choices["optimizer.gd.step"] for each in derivations(found)]
    assert steps == ["sigmoid", "sigmoid(scale=1.5)", "sigmoid(scale=2)", "sigmoid(scale=2)"]


def test_holes_inside_holes_join_the_choice_around_them() -> None:
    found = space(
        "{use: softmax-attention, architecture: {sharpness: {any: [key_dim, {float: [0.1, 1]}]}}}"
    )
    first, second = derivations(found)
    name = "architecture.kv.sharpness"
    assert first.choices[name] == "float" and 0.1 <= float(first.choices[f"{name}.float"]) <= 1
    assert second.choices == {name: "key_dim"}


def test_known_memories_are_in_the_whole_grammar() -> None:
    """Those of one cell, but for sizes and a few settings that nobody else has."""
    root = load_space("everything").root
    inside = {name for name, memory in cells().items() if placed(root, memory) is not None}
    assert len(inside) == 64 and len(cells()) == 81  # docs/search.md says so
    assert inside >= {"kda", "lstm", "moneta", "titans-lmm", "rwkv-7", "softmax-attention"}


def test_what_refused_all_draws_is_said_in_words() -> None:
    found = load_space(DEAD_ENDS[1])
    with pytest.raises(SpecError, match=r"all refused: .* What was said: .*give window: 2 or more"):
        draw(found, np.random.default_rng(0), tries=1)


def test_numbers_stay_in_their_range() -> None:
    found = space(HOLES)
    for seed in range(200):
        derivation = drawn(found, seed, RATES)
        assert 1e-4 <= (derivation.learning_rate or 0.0) <= 1e-2
        base = derivation.choices.get("architecture.matrix.features.rope.base", 10)
        assert isinstance(base, int | float) and 10 <= base <= 1e4
        assert derivation.choices["optimizer.gd.chunk"] in (2, 3, 4)


def test_log_draws_evenly_in_the_logarithm() -> None:
    found = space("{use: deltanet, bias: {kind: l1, smoothing: {float: [1e-4, 1.0, log]}}}")
    drawn_ = [float(drawn(found, seed).choices["bias.l1.smoothing"]) for seed in range(400)]
    assert 0.4 < np.mean(np.array(drawn_) < 1e-2) < 0.6


def test_count_is_exact_for_small_spaces() -> None:
    found = space(
        """
        architecture: {kind: matrix, features: {any: [silu_l2, identity]}}
        retention: {any: [none, window, {kind: decay, axis: {any: [scalar, key]}}]}
        optimizer: {kind: gd, gradient_at: {any: [retained, previous]}}
        """
    )
    counted = count(found)
    assert found.size == counted.derivations == len(list(derivations(found))) == 2 * 4 * 2
    assert not found.continuous and counted.valid == 2 * 3 * 2
    # without a decay `retained` is `previous`: one pair of equal memories for each key map
    assert counted.different == counted.valid - 2
    assert counted.refused == {"pairs": 4}
    assert count(found, most=15).valid is None
    assert space(HOLES).continuous and "real numbers" in space(HOLES).describe()


def test_refusals_name_their_rule() -> None:
    pairs = build({"architecture": "kv", "optimizer": "gd"})
    assert isinstance(pairs, Refusal) and pairs.rule == "pairs" and "use" in pairs.sentence
    setting = build({"architecture": "matrix", "optimizer": {"kind": "gd", "chunk": 4}})
    assert isinstance(setting, Refusal) and setting.rule == "settings of optimizer.gd"
    assert isinstance(build({"architecture": "matrix"}), Memory)
