"""Counts of spaces against counting one by one, and random memories that run."""

import json
import random
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from miras.known import known
from miras.load import reads
from miras.memory import Memory
from miras.search import Space
from miras.search.space.census import _estimate, census, summary, text
from miras.search.space.counting import divide
from miras.search.space.derive import build, derivations
from miras.search.space.inverse import placed
from miras.search.space.space import load_space, space_of

ROOT = Path(__file__).parent.parent

SMALL = {
    "kinds": "{architecture: {any: [matrix, vector, kv]}, bias: {any: all}, retention: {any: all}}",
    "gates": """
        architecture: {any: [matrix, vector]}
        retention: {any: [none, {kind: decay, axis: {any: all}, gate: {any: [mamba, linear]}}]}
        optimizer: {kind: gd, step: {any: all}, write: {any: [null, softplus, sigmoid]}}
    """,
    "settings": """
        architecture: matrix
        bias: {kind: l2, window: {any: [1, 2]}, discount: {any: [0.5, 1.0]}}
        optimizer: {kind: gd, chunk: {int: [1, 3]}, gradient_at: {any: all}, batch: {int: [1, 2]}}
    """,
    "numbers": "{architecture: mlp, retention: {kind: lq, q: {float: [1.2, 4.0]}, form: {any:"
    " all}}, optimizer: {any: [gd, momentum, implicit]}}",
}


def space(words: str) -> Space:
    return space_of(reads(textwrap.dedent(words)), name="test")


@pytest.mark.parametrize("name", SMALL)
def test_exact_counts_are_those_of_counting_one_by_one(name: str) -> None:
    found = space(SMALL[name])
    built = [build(each.spec) for each in derivations(found)]
    well = sum(isinstance(each, Memory) for each in built)
    division = divide(found.root)
    assert len(built) == found.size and 0 < well < len(built)
    assert not division.open and division.well_typed == well
    assert sum(division.refused.values()) == len(built) - well


def test_bounds_hold_where_a_division_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miras.search.space.counting.SMALL", 0)
    found = load_space("quickstart")
    exact = divide(found.root).well_typed
    for most in (1, 5, 20, 80):
        early = divide(found.root, most=most)
        assert early.open and early.well_typed <= exact <= early.well_typed + early.left


@pytest.mark.parametrize(
    "name", ["quickstart", pytest.param("slot-memories", marks=pytest.mark.slow)]
)
def test_the_interval_of_an_estimate_holds_the_exact_number(name: str) -> None:
    found = load_space(name)
    division = divide(found.root)
    assert not division.open
    held = 0
    for seed in range(5):
        well, (low, high), memories, _ = _estimate(found, 100, random.Random(seed), lambda _: None)
        assert memories and low <= well <= high and high > low
        held += low <= division.well_typed <= high
    assert held >= 4  # of five intervals of 95 %


def test_the_same_seed_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = space(SMALL["gates"])
    assert census(found, 40, seed=3) == census(found, 40, seed=3)
    monkeypatch.setattr("miras.search.space.counting.SMALL", 0)
    monkeypatch.setattr("miras.search.space.census.divide", partial(divide, most=3))
    estimates = [census(found, 40, seed=seed) for seed in (3, 3, 4)]
    assert estimates[0] == estimates[1] != estimates[2]
    assert estimates[0].method == "estimate" and "about" in summary(estimates[0])


def test_known_memories_inside_are_named() -> None:
    counted = census(load_space("neural-memories"), 20)
    expected = {"titans-lmm", "moneta", "yaad", "memora", "ttt-mlp", "atlas", "lact", "fwmlp"}
    assert expected <= set(counted.known)
    assert max(map(len, text(counted).splitlines())) <= 100
    slots = set(census(load_space("slot-memories"), 20).known)
    assert {"abc", "gsa", "raven", "trellis", "pkm", "fwpkm"} <= slots


@pytest.mark.slow
def test_random_memories_run_forward_and_backward() -> None:
    """The small version of the benchmark: no crash, nothing that is not finite."""
    command = [sys.executable, str(ROOT / "benchmarks" / "everything.py"), "--samples", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "40 samples of everything" in done.stdout and "fine" in done.stdout


def test_counts_of_the_project_are_those_of_its_spaces() -> None:
    """What takes long to count is a file; what does not says whether it is of these spaces."""
    rows = json.loads((ROOT / "spaces/counts.json").read_text(encoding="utf-8"))
    assert {row["name"] for row in rows} == {path.stem for path in (ROOT / "spaces").glob("*.yaml")}
    for row in rows:
        found = load_space(row["name"])
        inside = {name for name, each in known().items() if placed(found.root, each) is not None}
        fresh = (found.size, found.continuous, inside)
        stale = f"{row['name']}: python benchmarks/spaces.py, then miras map > spaces/README.md"
        assert (row["structures"], row["continuous"], {*row["known"]}) == fresh, stale
