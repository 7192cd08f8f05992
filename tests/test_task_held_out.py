"""Held-out tasks: what their sequences look like, and defects that published generators had.

Tests with a number guard against the defect of that number in the list of `test_task_defects.py`.
"""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from miras.tasks import IGNORE, AnyTask
from miras.tasks.compression import Compression
from miras.tasks.in_context_recall import InContextRecall
from miras.tasks.ladder import Ladder, Rung


def sample(task: Ladder, rung: Rung, count: int = 2000) -> tuple[Tensor, Tensor]:
    tokens, targets = task.sample(rung, count, np.random.default_rng(0))
    return torch.as_tensor(tokens), torch.as_tensor(targets)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "compression", "rungs": [[16, 8]]}, "is too short: .* take 17 tokens"),
        ({"kind": "compression", "extrapolation": [[99, 33]]}, "asks for places above 32"),
        ({"kind": "compression", "rungs": [[9000, 2000]]}, "more than 1024 letters"),
        ({"kind": "in_context_recall", "rungs": [[33, 4]]}, "odd length"),
        ({"kind": "in_context_recall", "keys": 31}, "needs 32 different keys and values"),
        ({"kind": "in_context_recall", "noise": 0.8}, "has 3 pairs beside 13 of noise"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(
    settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(AnyTask).validate_python(settings)


def test_compression_asks_every_place_once_and_tells_its_letter() -> None:
    tokens, targets = sample(Compression(), Rung(40, 16), 50)
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        letters, blanks, places = row[:16], row[17:24], [each - 17 for each in row[24:]]
        assert row[16] == 16 and blanks == [15] * 7 and sorted(places) == [*range(16)]
        assert wanted[24:] == [letters[place] for place in places]


def test_18_the_marker_of_compression_is_not_scored() -> None:
    for rung in Compression().rungs:
        _, targets = sample(Compression(), rung)
        asked = targets[targets != IGNORE]
        assert len(asked) == 2000 * rung.load
        shares = asked.bincount(minlength=15) / len(asked)
        assert shares.numpy() == pytest.approx(np.full(15, 1 / 15), abs=0.012)


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_recall_is_due_at_keys_that_came_before(noise: float) -> None:
    task = InContextRecall(noise=noise, rungs=(Rung(96, 16),))
    tokens, targets = sample(task, Rung(96, 16), 50)
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        known: dict[int, int] = {}
        for place in range(0, 96, 2):
            key, value = row[place : place + 2]
            assert wanted[place : place + 2] == [known.get(key, IGNORE), IGNORE]
            if key < 64:
                assert 64 <= value < 128 and known.setdefault(key, value) == value
            else:
                assert key >= 128 and value >= 128
        assert len(set(known.values())) == len(known) <= 16


def test_17_a_noisy_stream_has_its_noise_and_always_a_question() -> None:
    task = InContextRecall(noise=0.8, rungs=(Rung(30, 2),), extrapolation=())
    tokens, targets = sample(task, Rung(30, 2), 20_000)
    assert ((tokens[:, ::2] >= 128).sum(1) == 12).all()
    assert ((targets != IGNORE).sum(1) >= 1).all()
    # A real pair may stand anywhere, also at the end.
    real = (tokens[:, ::2] < 64).float().mean(0)
    assert real.numpy() == pytest.approx(np.full(15, 0.2), abs=0.015)


def test_21_in_context_recall_is_not_local() -> None:
    tokens, targets = sample(InContextRecall(), Rung(128, 32))
    keys, asked = tokens[:, ::2], targets[:, ::2] != IGNORE
    lags: list[int] = []
    for row, due in zip(keys.tolist(), asked.tolist(), strict=True):
        last: dict[int, int] = {}
        for place, key in enumerate(row):
            if due[place]:
                lags.append(2 * (place - last[key]))
            last[key] = place
    assert np.mean(np.array(lags) > 32) > 0.35  # MAD: 0.08
