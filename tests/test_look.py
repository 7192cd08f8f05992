"""Into a memory while it works: what is noted and counted is what happened."""

from itertools import pairwise

import pytest
import torch
from look_cases import MEMNET, model, text
from torch import Tensor

from miras.composition.tree import leaves_of, tree
from miras.info import collecting
from miras.layer import LayerState
from miras.look.lives import Life, lives
from miras.look.norms import grid, norms, stream
from miras.look.spectrum import spectrum, transition
from miras.look.watching import chosen, length, size, watch
from miras.tasks.parity import Parity

# What is noted


def test_lengths_that_are_noted_are_those_of_the_states_that_differ() -> None:
    whole = model("deltanet", layers=2)
    _, memory = chosen(whole, 1)
    calls = watch(whole, 1, text(9))
    for call in calls:
        change = call.state.weights["matrix"] - call.last.weights["matrix"]
        noted = length(memory, call.lengths("change"))
        assert noted is not None
        torch.testing.assert_close(noted, change.flatten(2).norm(dim=-1))
        missed, pulled = call.shown("surprise/residual"), call.lengths("gradient")["matrix"]
        assert missed is not None
        torch.testing.assert_close(missed, pulled)  # keys have length 1
    for earlier, later in pairwise(calls):
        torch.testing.assert_close(earlier.state.weights, later.last.weights)


def test_watching_changes_neither_answers_nor_the_model() -> None:
    whole = model(MEMNET)
    layer, _ = chosen(whole, 0)
    tokens, plan = text(6), layer.plan
    whole.eval()
    logits, _ = whole(tokens[None])
    calls = watch(whole, 0, tokens)
    again, _ = whole(tokens[None])
    torch.testing.assert_close(logits, again)
    assert layer.plan == plan and "forward" not in vars(layer)
    assert [call.state.position for call in calls] == list(range(1, 7))
    assert [call.noted.get("dream/after") is not None for call in calls] == [False] * 4 + [
        True,
        False,
    ]


def test_training_notes_nothing_of_single_tokens() -> None:
    for name in ("deltanet", "gsa", "softmax-attention", "titans-lmm"):
        with collecting() as found:
            model(name)(text(5)[None])
        assert found.noted == {}, name


# What is counted


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        # an empty slot is written, refreshed, overwritten, and then left alone to the end
        ([[0, 0], [1, 0], [2, 0.1], [0, 1], [0, 3]], [Life(2, True), Life(1, False)]),
        # what lay there before the first token is nobody's; what is new at the end has no age
        ([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], [Life(2, True)]),
        ([[0, 0], [0, 0], [0, 0]], []),
        # at a half of the cosine (60 degrees) nothing is overwritten yet
        ([[0, 0], [1, 0], [0.51, 0.86], [0.49, 0.872]], [Life(2, True)]),
        # what is turned slowly is overwritten once it is far from where it began
        ([[0, 0], [1, 0], [0.7, 0.7], [0, 1], [-0.7, 0.7]], [Life(2, True), Life(1, False)]),
        # what is emptied is gone, and what comes later is new
        ([[0, 0], [1, 0], [1, 0], [0, 0], [0, 0], [1, 0], [1, 0]], [Life(2, True), Life(1, False)]),
        ([[1, 0], [0, 0], [1, 0], [1, 0]], [Life(1, False)]),
        # a trace is no content, and what is written over it ends no life
        ([[0, 0], [0.05, 0], [0.05, 0], [0, 1], [0, 1]], [Life(1, False)]),
    ],
)
def test_lives_of_a_slot(contents: list[list[float]], expected: list[Life]) -> None:
    assert lives(torch.tensor(contents, dtype=torch.float64)[:, None]) == expected


def test_eigenvalues_of_the_delta_rule() -> None:
    whole = model("deltanet")
    layer, _ = chosen(whole, 0)
    calls = watch(whole, 0, text(4))
    for t in (0, 3):
        found = spectrum(layer, 0, calls, [t])
        assert sum(value.times for value in found) == 64
        # W (I - step k k^T): 1 in the 7 other directions of a key, for each of 8 values
        assert [(value.real, value.times) for value in found if value.times == 56] == [(1.0, 56)]
        (along,) = [value for value in found if value.times == 8]
        assert 0 < along.real < 1 and along.imaginary == 0


@pytest.mark.parametrize("name", ["linear-titans", "gated-deltanet", "gsa", "lru"])
def test_the_transition_moves_differences_of_states(name: str) -> None:
    whole = model({"use": name, "architecture": {"size": 4}} if name == "gsa" else name)
    layer, _ = chosen(whole, 0)
    call = watch(whole, 0, text(5))[-1]
    exact = layer.double()
    matrix = transition(exact, 0, call)
    before = tree(Tensor.double, call.before)
    generator = torch.Generator().manual_seed(2)

    def other(leaf: Tensor) -> Tensor:
        return leaf + torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)

    def flat(state: LayerState) -> Tensor:
        return torch.cat([leaf[0, 0].reshape(-1) for leaf in leaves_of(state.memory)])

    moved = LayerState(tree(other, before.memory), before.conv)
    after = [exact(call.x.double(), state)[1] for state in (before, moved)]
    torch.testing.assert_close(
        flat(after[1]) - flat(after[0]), matrix @ (flat(moved) - flat(before))
    )


def test_norms_are_those_of_the_definition_at_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miras.look.norms.PIECE", 8)
    for name in ("gated-deltanet", "titans-lmm"):
        whole = model(name)
        _, memory = chosen(whole, 0)
        calls, points = watch(whole, 0, text(21)), [1, 5, 21]
        expected = [float(size(memory, calls[point - 1].state)[0, 0]) for point in points]
        found = dict(norms(whole, 0, 0, text(21), points))
        assert found == pytest.approx(dict(zip(points, expected, strict=True)), rel=1e-4)


def test_the_grid_of_norms() -> None:
    assert grid(10) == [1, 2, 3, 5, 7, 10]
    assert (grid(100_000)[0], grid(100_000)[-1], len(grid(100_000))) == (1, 100_000, 30)
    task = Parity(batch=2)
    assert torch.equal(stream(task, 3, 50)[:20], stream(task, 3, 20))
