"""Spaces that are wrong: each mistake has a place and a sentence."""

import textwrap

import pytest

from miras.load import SpecFileError, reads
from miras.part import SpecError
from miras.search.space.space import Space, load_space, space_of


def space(text: str) -> Space:
    return space_of(reads(textwrap.dedent(text)), name="test")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("architecture: matrix\nbias: {any: [l2, hubr]}", (2, 18), "did you mean 'huber'"),
        (
            "architecture: matrix\nbias: {kind: lp, p: {float: [1, 9]}}",
            (2, 33),
            "less than or equal",
        ),
        ("architecture: matrix\nbias: {kind: lp, q: {float: [1, 2]}}", (2, 18), "no such setting"),
        (
            "architecture: matrix\nbias: {any: al}",
            (2, 13),
            "write `any: all`, `any: open`, or a list",
        ),
        (
            "architecture: matrix\nbias: {any: []}",
            (2, 13),
            "write `any: all`, `any: open`, or a list",
        ),
        ("architecture: matrix\nbias: {any: [l2], float: [0, 1]}", (2, 7), "a hole has one key"),
        ("architecture: matrix\nbias: {any: [l2, l2]}", (2, 18), "two choices are both 'l2'"),
        ("architecture: matrix\nbias: {float: [0, 1]}", (2, 16), "write one of cosine, dot"),
        (
            "architecture: matrix\noptimizer: {kind: gd, chunk: {float: [1, 4]}}",
            (2, 38),
            "whole numbers",
        ),
        (
            "architecture: matrix\noptimizer: {kind: gd, chunk: {int: [4, 1]}}",
            (2, 36),
            "below the second",
        ),
        (
            "architecture: matrix\nbias: {kind: lp, p: {float: [1, 2, lg]}}",
            (2, 29),
            "[low, high, log]",
        ),
        (
            "architecture: matrix\nwiring: {key_dim: {any: all}}",
            (2, 19),
            "`all` means nothing here",
        ),
        ("bias: {any: all}", (1, 1), "architecture: is missing"),
        ("use: gated-deltanett\nbias: dot", (1, 6), "did you mean 'gated-deltanet'"),
        ("any: [gla, gla-2]", (1, 12), "no known memory 'gla-2'"),
        ("architecture: {kind: kv}\noptimizer: gd\nbias: l2", (1, 1), "stores pairs"),
        ("architectur: matrix", (1, 1), "did you mean 'architecture'"),
    ],
)
def test_errors_have_a_place(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(SpecFileError) as caught:
        space_of(reads(text, "mine.yaml"))
    assert any(
        problem.place == place and words in str(problem) for problem in caught.value.problems
    ), str(caught.value)


def test_all_errors_at_once() -> None:
    with pytest.raises(SpecFileError) as caught:
        space("{architecture: {any: [matrx]}, bias: {any: [l3]}, retention: {float: [0]}}")
    assert len(caught.value.problems) == 3


def test_unknown_space_names_the_others() -> None:
    with pytest.raises(SpecError, match="did you mean 'quickstart'"):
        load_space("quickstar")
