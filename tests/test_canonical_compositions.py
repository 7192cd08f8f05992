"""Compositions that are equal have one key; how far others are from each other."""

import pytest
import torch
from composition_cases import composed, inputs_of, play

from miras import explain
from miras.canonical import differences, distance, equals, key, nearest, stacked
from miras.canonical.whole import WHOLE
from miras.composition import AnyCell, Composition
from miras.known import known
from miras.load import loads
from miras.memory import Memory
from miras.stack import Stack

LINEAR = "{architecture: matrix, bias: dot, optimizer: {kind: gd, step: sigmoid}}"
DELTA = "{architecture: {kind: matrix, features: silu_l2}}"

EQUAL = [
    ("r18_equal_levels", "{compose: levels, of: gla, mix: constant, levels: 3}", "{use: gla}"),
    ("r18_equal_levels", f"{{compose: levels, of: {DELTA}, mix: constant}}", DELTA),
    (
        "r18_sum_of_segments",
        f"{{compose: segments, of: {LINEAR}, read: residual, segment: 4}}",
        LINEAR,
    ),
    (
        "r18_soup",
        f"{{compose: segments, of: {LINEAR}, read: soup, segment: 4}}",
        f"{{compose: segments, of: {LINEAR}, read: gated, segment: 4}}",
    ),
    (
        "r18_soup",
        "{compose: segments, of: deltanet, read: soup, segment: 5, restart: false}",
        "{compose: segments, of: deltanet, read: gated, segment: 5, restart: false}",
    ),
    (
        "r18_equal_levels",
        "{compose: parallel, of: [deltanet, {compose: levels, of: gla, mix: constant}]}",
        "{compose: parallel, of: [deltanet, gla]}",
    ),
]
OTHER = [
    ("{compose: levels, of: gla, mix: {kind: constant, value: 0.5}}", "{use: gla}"),
    ("{compose: segments, of: gla, read: residual, segment: 4}", "{use: gla}"),
    (f"{{compose: segments, of: {DELTA}, read: residual, segment: 4}}", DELTA),
    (
        "{compose: segments, of: titans-lmm, read: soup, segment: 4}",
        "{compose: segments, of: titans-lmm, read: gated, segment: 4}",
    ),
]


def cell(text: str) -> AnyCell:
    found: AnyCell = loads(text, AnyCell)
    return found


def reads(one: str, other: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What both answer to the same tensors; gates of a host are those of the composition's cell."""
    first, second = composed(one), cell(other)
    inputs = inputs_of(first, 13)
    found = play(first, inputs)[0]
    if isinstance(second, Memory):
        return found, play(second, inputs._replace(gates=inputs.of(0)))[0]
    gates = {name.replace("1.0.", "1."): gate for name, gate in inputs.gates.items()}
    taken = {name: gates[name] for name in second.gates(2, 4, 4)}
    return found, play(second, inputs._replace(gates=taken))[0]


@pytest.mark.parametrize(("rule", "one", "other"), EQUAL)
def test_equal_compositions_have_one_key_and_one_function(rule: str, one: str, other: str) -> None:
    assert key(cell(one)) == key(cell(other))
    assert differences(cell(one), cell(other)) == ()
    assert distance(cell(one), cell(other)) == (0, 0)
    assert rule in {rewrite.__name__ for rewrite in WHOLE}
    torch.testing.assert_close(*reads(one, other), rtol=1e-9, atol=1e-9)


def test_every_rule_of_compositions_has_a_twin() -> None:
    assert {rule for rule, _, _ in EQUAL} == {rewrite.__name__ for rewrite in WHOLE}


@pytest.mark.parametrize("rewrite", WHOLE)
def test_without_its_rule_twins_are_told_apart(
    rewrite: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from miras.canonical import forms

    others = tuple(each for each in WHOLE if each is not rewrite)
    monkeypatch.setattr(forms, "WHOLE", others)
    bare = forms.reduced.__wrapped__  # type: ignore[attr-defined]
    name = getattr(rewrite, "__name__", "")
    for one in (cell(one) for rule, one, _ in EQUAL[:5] if rule == name):
        assert bare(one) == one


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_neighbours_differ(one: str, other: str) -> None:
    assert key(cell(one)) != key(cell(other))
    assert min(distance(cell(one), cell(other))) > 0
    found, wanted = reads(one, other)
    assert (found - wanted).abs().max() > 1e-6


def test_distance_counts_values_and_slots() -> None:
    data = known()["gated-deltanet"].model_dump()
    near = Memory.model_validate(data | {"bias": "dot"})
    assert distance(known()["gated-deltanet"], near) == (1, 1)
    step = {"kind": "sigmoid", "scale": 0.5, "bias": 1.0}
    far = Memory.model_validate(data | {"bias": "dot", "optimizer": {"kind": "gd", "step": step}})
    # two settings of one gate, and the bias
    assert distance(known()["gated-deltanet"], far) == (3, 2)
    one = cell("{compose: parallel, of: [gla, deltanet], combine: share}")
    other = cell("{compose: parallel, of: [gla, {use: deltanet, bias: dot}]}")
    assert distance(one, other) == (2, 2)
    assert {each.where for each in differences(one, other)} == {"combine", "of.1.bias"}
    assert distance(one, cell("{use: gla}")).values >= 1


@pytest.mark.parametrize("name", ["continuum-memory", "memory-caching", "log-linear-mamba-2"])
def test_nearest_of_compositions(name: str) -> None:
    memory = known()[name]
    assert isinstance(memory, Composition)
    assert equals(memory) == (name,)
    found = nearest(memory)
    assert found.name != name and found.differences


def test_a_changed_composition_is_nearest_to_where_it_comes_from() -> None:
    memory = known()["log-linear-mamba-2"]
    changed = type(memory).model_validate(memory.model_dump() | {"name": "", "levels": 5})
    found = nearest(changed)
    assert found.name == "log-linear-mamba-2"
    assert [each.where for each in found.differences] == ["levels"]
    told = explain.explain(changed).nearest
    assert (told.name, told.differences) == (found.name, ("levels 5, there 12",))


def stack(*names: str) -> Stack:
    return Stack.model_validate({"pattern": names})


def test_a_stack_is_its_shortest_pattern() -> None:
    assert key(stack("gla")) == key(stack("gla", "gla")) == key(known()["gla"])
    assert key(stack("gla", "deltanet")) == key(stack(*("gla", "deltanet") * 2))
    assert key(stack("gla", "deltanet")) != key(stack("deltanet", "gla"))
    three = stack("gla", "deltanet", "gla")
    assert key(three) != key(stack("gla", "deltanet"))  # from the third layer on
    assert key(stacked(three, 2)) == key(stack("gla", "deltanet"))
    assert stacked(three, 1) == known()["gla"]
    assert equals(stack("gla", "gla")) == ("gla",)


def test_differences_of_stacks_are_by_layer() -> None:
    one, other = stack("gla", "deltanet"), stack("gla", "gla")
    found = {each.where for each in differences(one, other)}
    assert found and all(where.startswith("pattern.1.") for where in found)
    assert distance(one, known()["gla"]).slots == len({w.split(".")[2] for w in found})
    assert nearest(stack("gla", "retnet")).differences
