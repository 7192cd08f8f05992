"""How accuracies become scores, and the small numerical tools of the tasks."""

import numpy as np
import pytest
from torch import Tensor

from miras.tasks import Split, certain, distinct, draw, split_of
from miras.tasks.frequency import mode_share
from miras.tasks.ladder import load_at
from miras.tasks.mqar import MQAR
from miras.tasks.parity import Parity


def test_the_ladder_adds_up() -> None:
    task = MQAR(test=2000)

    def knows_few(tokens: Tensor, scored: Tensor) -> Tensor:
        # Right up to 16 pairs (64 tokens), the first value of the context beyond.
        answers = task.solve(tokens) if tokens.shape[1] <= 64 else tokens[:, 1:2].expand_as(tokens)
        return certain(answers[scored], task.vocabulary)

    whole, trained = task.evaluate(knows_few), task.evaluate(knows_few, extrapolate=False)
    assert trained.score == whole.metrics["ladder"] == pytest.approx(0.75, abs=1e-9)
    assert whole.score == pytest.approx((2 * 0.75 + 0) / 3, abs=1e-9)
    assert whole.metrics["worst"] == whole.metrics["extrapolation"] == 0.0
    assert whole.metrics["K90"] == trained.metrics["K90"] == pytest.approx(16 * 2**0.1)
    assert whole.metrics["accuracy/K=64,L=256"] == 1 / 64
    assert "accuracy/K=64,L=256" not in trained.metrics


@pytest.mark.parametrize(
    ("loads", "scores", "answer"),
    [
        ([4, 8], [1.0, 1.0], 8.0),
        ([4, 8], [1.0, 0.8], 4 * 2**0.5),
        ([4, 8, 16], [1.0, 0.9, 0.0], 8.0),
        ([4, 8, 16], [0.5, 1.0, 1.0], 2**0.4),
        ([1, 2], [0.0, 0.0], 1.0),
    ],
)
def test_load_at_interpolates_the_first_fall(
    loads: list[int], scores: list[float], answer: float
) -> None:
    assert load_at(0.9, loads, scores) == pytest.approx(answer)


def test_parity_counts_only_positions_beyond_training() -> None:
    task = Parity()

    def attention_like(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = 2 + tokens.cumsum(1) % 2
        answers[:, 32:] = 2
        return certain(answers[scored], 4)

    result = task.evaluate(attention_like)
    assert result.metrics["accuracy/trained"] == 1.0
    assert result.score < 0.02 and result.loss > 40
    assert 32 <= result.metrics["L50"] <= 34
    assert task.evaluate(attention_like, extrapolate=False).score == 1.0


def test_mode_share_is_the_expected_share() -> None:
    letters = np.random.default_rng(0)
    for n, alphabet in ((1, 5), (4, 14), (16, 14), (40, 2), (300, 7)):
        counts = letters.multinomial(n, [1 / alphabet] * alphabet, 40_000).max(1)
        assert mode_share(n, alphabet) == pytest.approx(counts.mean() / n, rel=0.01)


def test_distinct_draws_every_order_equally_often() -> None:
    drawn = distinct(np.random.default_rng(0), 24_000, 4, 3)
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 24 and abs(counts - 1000).max() < 150


def test_draw_keeps_a_fixed_part_for_each_split() -> None:
    words = np.random.default_rng(0).integers(0, 9, (40_000, 12))
    share = np.bincount(split_of(words), minlength=8) / len(words)
    assert share == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        batch = draw(lambda n: (words[:n], words[:n]), split, 50)
        assert len(batch.tokens) == 50
