"""Spaces of compositions and patterns, changed known memories, and weights."""

import json
import random
from collections import Counter
from statistics import fmean, stdev

import jsonschema
import numpy as np
import pytest
import yaml

from miras.canonical import differences, key
from miras.composition import Composition
from miras.known import known
from miras.load import SpecFileError, reads
from miras.memory import SLOTS, Memory
from miras.part import SpecError
from miras.search.space.derive import (
    Derivation,
    FromChoices,
    FromRandom,
    Refusal,
    build,
    derivations,
    derive,
    fill,
)
from miras.search.space.descent import Descent
from miras.search.space.mutation import next_places
from miras.search.space.nodes import Choice, Mutation, Number, lies_in, ways
from miras.search.space.space import Space, space_of, space_schema
from miras.search.space.tally import tally
from miras.stack import Stack

RATES = Number(1e-4, 1e-2, log=True)

HYBRID = """
    pattern:
      - {any: [gla, {use: gated-deltanet, retention: {axis: {any: [scalar, key]}}}]}
      - {use: sliding-window, retention: {size: {int: [4, 6]}}}
"""
SPACES = {
    "chain": """
        compose: chain
        residual: {any: [true, false]}
        of:
          - {any: [gla, deltanet, {use: gated-deltanet, bias: {any: [l2, dot]}}]}
          - {architecture: matrix, retention: {any: [none, decay, saturation]}}
    """,
    "kinds": "{compose: {any: [parallel, serial]}, of: [gla, {any: [deltanet, sliding-window]}]}",
    "pattern": HYBRID,
    "lengths": "{pattern: {any: [[gla], [gla, {any: [gla, deltanet]}], [gla, gla, deltanet]]}}",
    "written": """
        mutate: gated-deltanet
        changes: 2
        among: {bias: {any: all}, retention: {axis: {any: all}}, optimizer: {any: [gd, momentum]}}
    """,
    "deep": """
        compose: parallel
        of:
          - compose: chain
            of: [{mutate: gla, among: {bias: {any: [dot, l2]}, retention: {any: all}}}, deltanet]
          - any: [gla, {compose: levels, of: {any: [gla, mamba-2]}, levels: {int: [2, 4]}}]
    """,
    "either": "{any: [gla, {compose: chain, of: [gla, {any: [gla, deltanet]}]}, {mutate: deltanet,"
    " among: {bias: {any: [l2, dot, huber]}}}]}",
}


def space(text: str) -> Space:
    return space_of(reads(text), name="test")


def drawn(found: Space, seed: int, rates: Number | None = None) -> Derivation:
    return derive(found, FromRandom(np.random.default_rng(seed)), rates)


@pytest.mark.parametrize("name", SPACES)
def test_every_derivation_once(name: str) -> None:
    """As many as are counted, all different, each built and chosen again from its record."""
    found = space(SPACES[name])
    every = list(derivations(found))
    specs = {json.dumps(each.spec, sort_keys=True) for each in every}
    choices = {json.dumps(each.choices, sort_keys=True) for each in every}
    assert len(every) == len(specs) == len(choices) == found.size
    assert sum(not isinstance(build(each.spec), Refusal) for each in every) > found.size / 4
    kinds = (Memory, Composition, Stack)
    for seed in range(10):
        first = drawn(found, seed, RATES)
        assert isinstance(build(first.spec), kinds)
        assert derive(found, FromChoices(json.loads(json.dumps(first.choices))), RATES) == first


def names_of(text: str) -> list[str]:
    """All names of holes, in the order in which they are asked."""
    return list({name: None for each in derivations(space(text)) for name in each.choices})


def test_names_begin_with_the_place_of_a_cell() -> None:
    assert set(names_of(SPACES["chain"])) == {
        "of.0",
        "of.0.gated-deltanet.bias",
        "of.1.retention",
        "residual",
    }
    assert set(names_of(HYBRID)) == {
        "pattern.0",
        "pattern.0.gated-deltanet(retention=).retention.decay.axis",
        "pattern.1.retention.window.size",
    }
    assert names_of(SPACES["kinds"]) == ["compose", "of.1"]
    assert {"of.0.of.0.change.1", "of.1.levels.of"} < set(names_of(SPACES["deep"]))
    assert "pattern.[gla,any].1" in names_of(SPACES["lengths"])


def test_cells_and_slots_come_before_the_rate_and_all_else() -> None:
    choices = list(drawn(space(SPACES["chain"]), 2, RATES).choices)
    rate = choices.index("learning_rate")
    assert {"of.0", "of.1.retention"} <= set(choices[:rate])
    assert "residual" in choices[rate:]


def test_what_fits_is_asked_in_every_cell() -> None:
    """Pairs exclude gradient steps: never drawn together, in whatever cell they stand."""
    cell = "{architecture: {any: [matrix, kv]}, optimizer: {any: [gd, closed_form]}}"
    for text in (f"{{compose: chain, of: [{cell}, {cell}]}}", f"{{pattern: [{cell}, {cell}]}}"):
        found = space(text)
        wrong = sum(isinstance(build(each.spec), Refusal) for each in derivations(found))
        assert wrong == 12  # of 16: in each cell two of four fit
        for seed in range(20):
            assert not isinstance(build(drawn(found, seed).spec), Refusal)


def test_a_composition_refuses_what_no_cell_can_know() -> None:
    found = space("{compose: router, of: gla, copies: {int: [2, 3]}, top_k: {int: [1, 4]}}")
    refused = [build(each.spec) for each in derivations(found)]
    rules = {each.rule for each in refused if isinstance(each, Refusal)}
    assert rules == {"settings of router"}
    assert sum(isinstance(each, Refusal) for each in refused) == 3


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_changes_are_so_many_places_and_no_more(changes: int) -> None:
    found = space(f"{{mutate: gated-deltanet, changes: {{int: [{changes}, {changes}]}}}}")
    base = known()["gated-deltanet"]
    built = 0
    for seed in range(12):
        derivation = drawn(found, seed)
        memory = build(derivation.spec)
        places = [
            str(value) for name, value in derivation.choices.items() if name.startswith("change.")
        ]
        assert len(set(places)) == changes
        assert not any(lies_in(a, b) for a in places for b in places if a != b)
        for slot in SLOTS:  # what is not named stays as it was
            if isinstance(memory, Memory) and not any(lies_in(each, slot) for each in places):
                assert getattr(memory, slot) == getattr(base, slot)
        if isinstance(memory, Memory):
            built += 1
            assert memory.model_copy(update={"name": ""}) != base
            for place in places:
                here, there = memory, base
                for step in place.split("."):
                    here, there = getattr(here, step), getattr(there, step)
                assert here != there
    assert built > 6


def test_no_change_is_the_known_memory() -> None:
    found = space("{mutate: {any: [gla, deltanet]}, changes: {int: [0, 1]}, among: all}")
    for name in ("gla", "deltanet"):
        spec = derive(found, FromChoices({"memory": name, f"memory.{name}.changes": 0})).spec
        memory = build(spec)
        assert isinstance(memory, Memory) and key(memory) == key(known()[name])


def test_sets_of_places_are_drawn_alike() -> None:
    """Whatever their order and however much there is to choose in them."""
    places = {"a": 1, "a.b": 1, "a.c": 1, "d": 1}
    assert ways(places, 3) == [1, 4, 4, 1]  # a excludes what is inside of it
    assert ways({"a": 5, "a.b": 2, "d": 3}, 2) == [1, 10, 21]
    names = tuple(places)
    assert dict(next_places(names, (), 2)) == {"a": 1, "a.b": 2, "a.c": 1}
    assert dict(next_places(names, ("a",), 1)) == {"d": 1}
    found = space(SPACES["written"])
    counts: dict[str, int] = {}
    for seed in range(300):
        choices = drawn(found, seed).choices
        if choices["changes"] == 2:
            pair = f"{choices['change.1']} {choices['change.2']}"
            counts[pair] = counts.get(pair, 0) + 1
    assert len(counts) == 3 and min(counts.values()) > 30


def test_a_mutated_composition_has_the_places_of_its_cells() -> None:
    root = space("{mutate: continuum-memory}").root
    assert isinstance(root, Mutation)
    assert {"residual", "of.0.retention", "of.2.optimizer"} <= root.places.keys()
    derivation = drawn(space("{mutate: continuum-memory, changes: 1}"), 0)
    memory = build(derivation.spec)
    assert isinstance(memory, Composition)
    base = known()["continuum-memory"]
    assert isinstance(base, Composition)
    titles = {"name", "paper", "equation", "departures"}
    cells = [[cell.model_dump(exclude=titles) for cell in each.cells] for each in (memory, base)]
    assert sum(one != other for one, other in zip(*cells, strict=True)) == 1
    assert len(differences(memory, base)) <= 2


def test_a_replay_beyond_the_changes_is_refused() -> None:
    found = space(SPACES["written"])
    with pytest.raises(SpecError, match="cannot be changed beside"):
        derive(found, FromChoices({"changes": 2, "change.1": "bias", "change.2": "bias"}))


def test_weights_are_shares_of_chance() -> None:
    found = space("{use: deltanet, bias: {any: [l2, dot, all], weights: [8, 1, 1]}}")
    picked = [drawn(found, seed).choices["bias"] for seed in range(400)]
    assert 0.74 < picked.count("l2") / 400 < 0.86
    assert 0.06 < picked.count("dot") / 400 < 0.14
    assert len(set(picked)) > 4
    root = space("{any: [gla, {any: [deltanet, retnet], weights: [1, 3]}]}").root
    assert isinstance(root, Choice)
    assert root.weights == {"deltanet": 0.5, "retnet": 1.5}  # the other one weighs 1


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("use: gla\nbias: {any: [l2, dot], weights: [1]}", (2, 33), "one number for each of the 2"),
        ("use: gla\nbias: {any: [l2, dot], weights: [1, 0]}", (2, 33), "a number above 0"),
        ("use: gla\nbias: {any: all, weights: [1, 2]}", (2, 27), "a list of choices"),
        ("use: gla\nbias: {kind: lp, p: {float: [1, 2], weights: [1]}}", (2, 21), "one key"),
        ("mutate: gated-deltanett", (1, 9), "did you mean 'gated-deltanet'"),
        ("mutate: gla\nchange: 1", (2, 1), "did you mean 'changes'"),
        ("mutate: gla\nchanges: 0", (2, 10), "how many places"),
        ("mutate: gla\nchanges: {int: [3, 1]}", (2, 10), "how many places"),
        ("mutate: gla\nchanges: 2\namong: {bias: {any: [l2, lp]}}", (2, 10), "1 places that can"),
        ("mutate: gla\namong: some", (2, 8), "write open, all, or"),
        ("mutate: {use: gla, bias: {any: [l2, dot]}}", (1, 9), "has holes already"),
        ("compose: chian\nof: [gla, gla]", (1, 10), "did you mean 'chain'"),
        ("compose: chain\nof: [gla]", (2, 5), "at least 2"),
        ("compose: chain\nof: [gla, gla-2]", (2, 11), "no known memory 'gla-2'"),
        ("compose: chain\nof: [gla, {any: [gla, l2]}]", (2, 23), "no known memory 'l2'"),
        ("compose: {any: [chain, levels]}\nof: [gla, gla]", (2, 1), "write them as two choices"),
        (
            "compose: {any: [chain, parallel]}\nof: [gla, gla]\nresidual: true",
            (3, 1),
            "two choices",
        ),
        ("compose: levels\nof: titans-lmm", (1, 1), "not linear in its state"),
        ("use: gla\ncompose: chain\nof: [gla, gla]", (1, 6), "is of another kind"),
        ("pattern: [gla]\ndim: 64", (2, 1), "the shell of a study says the rest"),
        ("pattern: []", (1, 10), "at least 1"),
        ("pattern: {any: [[gla, gla], [gla, gla]]}", (1, 29), "two choices are both"),
    ],
)
def test_errors_have_a_place(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(SpecFileError) as caught:
        space_of(reads(text, "mine.yaml"))
    assert any(
        problem.place == place and words in str(problem) for problem in caught.value.problems
    ), str(caught.value)


def test_a_census_of_patterns_and_compositions_is_that_of_counting_one_by_one() -> None:
    """Exact where cells do not know of each other, whether all are built or not."""
    cell = "{architecture: {any: [matrix, kv]}, optimizer: {any: [gd, closed_form]}}"
    found = space(f"{{pattern: [{cell}, {cell}]}}")
    counted = tally(found.root)
    assert (counted.whole, counted.well_typed, counted.open) == (16, 4, 0)
    built = [build(each.spec) for each in derivations(found)]
    refused = Counter(each.rule for each in built if isinstance(each, Refusal))
    assert counted.refused.total() == refused.total() == 12
    shares: list[float] = []
    wide = space(SPACES["deep"])
    dice = random.Random(0)
    for _ in range(60):
        descent = Descent(dice)
        made = build(fill(wide, descent).spec)
        shares.append(0.0 if isinstance(made, Refusal) else descent.weight)
    every = [build(each.spec) for each in derivations(wide)]
    well = sum(not isinstance(each, Refusal) for each in every) / len(every)
    half = 3 * stdev(shares) / len(shares) ** 0.5 + 1e-9
    assert abs(fmean(shares) - well) <= half


@pytest.mark.parametrize("name", SPACES)
def test_the_schema_knows_all_forms(name: str) -> None:
    jsonschema.validate(yaml.safe_load(SPACES[name]), space_schema())
