"""Each rule objects to a small bad memory, leaves a neighbour alone, and says what would fit."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import ValidationError

import miras.memory
from miras import Memory
from miras.known import cells as known
from miras.part import IncompatibleParts
from miras.rules import RULES, Verdict

Spec = dict[str, Any]
BASE: Spec = {"architecture": {"kind": "matrix", "features": "l2"}, "optimizer": {"kind": "gd"}}


class Row(NamedTuple):
    """A memory that a rule objects to, its cured neighbour, and words of the sentence."""

    rule: str
    bad: Spec
    fine: Spec
    words: tuple[str, ...]


def changed(spec: Spec, change: Spec) -> Spec:
    """The spec with fields of its parts replaced; a change that names a kind replaces the part."""
    found = dict(spec)
    for name, value in change.items():
        old: Any = {"kind": spec[name]} if isinstance(spec.get(name), str) else spec.get(name)
        if isinstance(value, dict) and isinstance(old, dict) and "kind" not in value:
            found[name] = changed(old, value)
        else:
            found[name] = value
    return found


def rows() -> list[Any]:
    cases = yaml.safe_load(Path(__file__).with_name("rule_cases.yaml").read_text())
    found: list[Any] = []
    for rule, listed in cases.items():
        for index, (change, cure, words) in enumerate(listed):
            bad = changed(BASE, change)
            row = Row(rule, bad, changed(bad, cure), tuple(words))
            found.append(pytest.param(row, id=f"{rule}-{index}"))
    return found


ROWS = rows()
WARNED = {  # what their papers do
    "fwmlp": {"deep-steps"},
    "fwpkm": {"row-factor"},
    "moneta": {"T22"},
    "swla": {"T8"},
    "yaad": {"T16", "T22"},
}
VERDICTS = {rule.name: rule.verdict for rule in RULES}


def names(sentences: tuple[str, ...]) -> dict[str, str]:
    """Objections by the name of the rule, which stands in brackets at the end."""
    return {sentence.rpartition("[")[2].rstrip("]"): sentence for sentence in sentences}


def objections(spec: Spec) -> dict[str, str]:
    """What stands in the way of a memory, by rule: the refusal, or else its warnings."""
    try:
        return names(Memory.model_validate(spec).warnings)
    except ValidationError as error:
        return names(tuple(problem["msg"] for problem in error.errors()))


@pytest.mark.parametrize("row", ROWS)
def test_the_bad_memory_is_objected_to(row: Row) -> None:
    sentence = objections(row.bad).get(row.rule, "")
    for word in (*row.words, "use "):
        assert word in sentence
    if VERDICTS[row.rule] is Verdict.warn:
        Memory.model_validate(row.bad)
        return
    with pytest.raises(ValidationError) as caught:
        Memory.model_validate(row.bad)
    (problem,) = caught.value.errors()
    assert isinstance(problem.get("ctx", {}).get("error"), IncompatibleParts)


@pytest.mark.parametrize("row", ROWS)
def test_the_neighbour_is_fine(row: Row) -> None:
    assert row.fine != row.bad
    assert row.rule not in objections(row.fine)
    Memory.model_validate(row.fine)


@pytest.mark.parametrize("row", ROWS)
def test_without_its_rule_nothing_stands_in_the_way(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [rule for rule in RULES if rule.name != row.rule]
    assert len(others) == len(RULES) - 1
    monkeypatch.setattr(miras.memory, "RULES", others)
    assert row.rule not in objections(row.bad)
    Memory.model_validate(row.bad)


def test_every_rule_has_a_row() -> None:
    assert {param.values[0].rule for param in ROWS} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_every_rule_says_what_it_asks_for() -> None:
    sentences = [rule.sentence for rule in RULES]
    assert len(set(sentences)) == len(RULES)
    for sentence in sentences:
        assert 20 < len(sentence) < 100 and sentence[0].isupper(), sentence
        assert sentence.endswith(".") and "\n" not in sentence, sentence


@pytest.mark.parametrize("name", known())
def test_known_memories_pass_all_rules(name: str) -> None:
    expected = WARNED.get(name, set())
    if name.startswith("memnet"):  # what its reads are for comes with the next token
        expected = {"T21"}
    assert set(names(known()[name].warnings)) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # T9: a chunk is a chunk of gradients, not a window and not the period of reads.
        ({"optimizer": {"chunk": 4}}, "gradient_at: anchor"),
        ({"architecture": "mlp", "retention": {"kind": "lq", "q": 3.0}}, "at most 2.75"),
        ({"architecture": "mlp", "retention": {"kind": "lq", "q": 3.2}}, "at least 3.25"),
        ({"architecture": "mlp", "retention": {"kind": "lq", "form": "exact"}}, "q <= 2"),
        ({"architecture": {"kind": "mlp", "depth": 1, "gated": True}}, "depth: 2"),
    ],
)
def test_parts_refuse_what_they_alone_can_see(change: Spec, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Memory.model_validate(changed(BASE, change))
