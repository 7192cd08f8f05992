"""Every rule of the catalogue is carried by tests that exist, and no rewrite is idle."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from miras.canonical import forms
from miras.canonical.gate_maps import UP_TO_GATES
from miras.canonical.limits import LIMITS
from miras.canonical.parts import PARTS
from miras.canonical.steps import STEPS
from miras.memory import Memory

HERE = Path(__file__).parent


def table(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return found


CARRIED: dict[str, list[str]] = table("catalogue_rules.yaml")
TWINS = table("twins.yaml")


def names(file: str) -> set[str]:
    """What can be named in a file of tests, or in a table of cases."""
    if file == "twins.yaml":
        return {*TWINS["exact"], *TWINS["up_to_gates"], *TWINS["strangers"]}
    if file.endswith(".yaml"):
        return set(table(file))
    body = ast.parse((HERE / file).read_text(encoding="utf-8")).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef)}


def test_all_rules_are_listed() -> None:
    wanted = [f"{letter}{number}" for letter in "TR" for number in range(1, 28)]
    assert list(CARRIED) == wanted


@pytest.mark.parametrize("rule", CARRIED)
def test_what_carries_a_rule_exists(rule: str) -> None:
    assert CARRIED[rule]
    for node in CARRIED[rule]:
        file, _, name = node.partition("::")
        assert name in names(file), node
        assert file.endswith(".yaml") or name.startswith("test_")


def test_rules_of_memories_are_all_listed() -> None:
    """Those that are named after the catalogue, in the table of their own cases."""
    listed = {node.partition("::")[2] for nodes in CARRIED.values() for node in nodes}
    named = {name for name in table("rule_cases.yaml") if name[0] == "T" and name[1].isdigit()}
    assert named <= listed
    rewrites = {name for name in TWINS["exact"] if name[0] == "r" and name[1].isdigit()}
    assert rewrites <= listed


def cells(sides: list[dict[str, Any]]) -> tuple[Memory, ...]:
    matrix = {"architecture": {"kind": "matrix", "features": "silu_l2"}}
    return tuple(Memory.model_validate(matrix | side) for side in sides)


REWRITES = {
    rewrite.__name__: group
    for group, rewrites in {"LIMITS": LIMITS, "PARTS": PARTS, "STEPS": STEPS}.items()
    for rewrite in rewrites
} | {rewrite.__name__: "UP_TO_GATES" for rewrite in UP_TO_GATES}


@pytest.mark.parametrize("name", REWRITES)
def test_without_a_rewrite_its_twins_are_told_apart(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = REWRITES[name]
    rules: tuple[Callable[..., Any], ...] = getattr(forms, group)
    monkeypatch.setattr(forms, group, tuple(rule for rule in rules if rule.__name__ != name))
    normal = vars(forms.normal)["__wrapped__"]  # nothing is remembered from before
    pairs = TWINS["exact"].get(name, []) + (
        [sides for each in TWINS["up_to_gates"].values() for sides in each]
        if group == "UP_TO_GATES"
        else []
    )
    forms_of = [tuple(normal(each).memory for each in cells(sides)) for sides in pairs]
    assert any(one != other for one, other in forms_of)
