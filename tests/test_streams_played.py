"""Memories on streams: against a plain loop, and what is measured on the way."""

import numpy as np
import pytest

from miras.demonstration.playing import play
from miras.memory import Memory
from miras.part import SpecError
from miras.streams.lookup import Lookup
from miras.streams.novelty import Novelty
from miras.streams.outliers import Outliers
from miras.streams.pairs import Pairs
from miras.streams.salience import Salience


def test_a_memory_is_played_as_a_plain_loop_says() -> None:
    stream = Salience(relevant=5, junk=4, visits=2, key_dim=6, value_dim=4)
    memory = Memory.model_validate(
        {"architecture": "matrix", "optimizer": {"kind": "gd", "step": "sigmoid"}}
    )
    played = play(memory, stream, (0, 7))
    for seed, found in zip((0, 7), played, strict=True):
        episode = stream.episode(seed)
        told, values = episode.pieces[0], episode.truth["values"].numpy()
        weights = np.zeros((4, 6))
        for k, v, b in zip(
            told.key.numpy(), told.value.numpy(), told.gates["step"].numpy(), strict=True
        ):
            weights += b * np.outer(v - weights @ k, k)
        answers = told.asked.numpy() @ weights.T
        distance = ((answers[:, None] - values[None]) ** 2).sum(-1)
        assert found.scores["recall"] == (distance.argmin(1) == np.arange(5)).mean()
        assert found.state_floats == 24 and found.parameters == 0


def test_rehearsals_show_keys_and_teach_no_values() -> None:
    stream = Pairs(pairs=12, key_dim=6, value_dim=5, passes=1, rehearsals=2)
    steps = [float(piece.gates["step"].sum()) for piece in stream.episode(0).pieces]
    assert steps == [0, 0, 12]
    spec = {
        "architecture": {"kind": "product_key", "side": 8, "top": 2},
        "optimizer": {"kind": "row_mean", "factor": 2.0, "step": "sigmoid", "batch": 12},
    }
    (found,) = play(Memory.model_validate(spec), stream, (0,))
    slots = found.scores["coverage"] * 64
    assert slots == round(slots) and 1 <= slots <= 24  # two slots for each of twelve pairs
    assert 0 < found.scores["recall"] <= 1


def test_lookup_looks_at_every_slot() -> None:
    stream = Lookup(questions=20, key_dim=6, value_dim=5, top=3)
    spec: dict[str, dict[str, object]] = {
        "architecture": {"kind": "product_key", "side": 6, "top": 3},
        "optimizer": {"kind": "row_mean", "step": "sigmoid", "batch": 4},
    }
    (right,) = play(Memory.model_validate(spec), stream, (0,))
    assert right.scores == {"equal": 1.0}
    spec["architecture"]["top"] = 2
    (wrong,) = play(Memory.model_validate(spec), stream, (0,))
    assert wrong.scores == {"equal": 0.0}
    plain = {"architecture": "matrix", "optimizer": {"kind": "gd", "step": "sigmoid"}}
    with pytest.raises(SpecError, match="use architecture product_key"):
        play(Memory.model_validate(plain), stream, (0,))


def test_a_gate_that_nobody_offers_is_a_sentence() -> None:
    memory = Memory.model_validate({"architecture": "matrix", "optimizer": "gd"})
    with pytest.raises(SpecError, match=r"gate step, the stream offers none: .*constant"):
        play(memory, Outliers(pairs=4, key_dim=6, value_dim=5, time=40), (0,))


def test_the_share_of_written_tokens_is_measured() -> None:
    spec: dict[str, object] = {
        "architecture": {"kind": "kv", "features": "l2", "sharpness": 32.0},
        "retention": {"kind": "window", "size": 16},
        "optimizer": {"kind": "closed_form", "surprise": {"budget": 0.2}},
    }
    stream = Novelty(common=3, novel=4, time=40, key_dim=6, value_dim=5)
    gated, again = play(Memory.model_validate(spec), stream, (0, 1))
    assert 0.1 < gated.scores["written"] < 0.9 and 0.1 < again.scores["written"] < 0.9
    spec["optimizer"] = "closed_form"
    (every,) = play(Memory.model_validate(spec), stream, (0,))
    assert every.scores["written"] == 1.0
