"""Training: it learns, it is repeatable, it says how it ended, and its model survives a file."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from miras import checkpoint, lines
from miras import train as training
from miras.model import Model, ModelSpec
from miras.part import SpecError
from miras.result import Result
from miras.tasks import Evaluation
from miras.tasks.mqar import MQAR
from miras.tasks.parity import Parity
from miras.train import clock_of, too_slow, train


def spec(name: str) -> ModelSpec:
    return ModelSpec.model_validate({"dim": 16, "layers": 1, "heads": 2, "pattern": [name]})


def recall(**changes: object) -> MQAR:
    fields = {"rungs": [{"length": 16, "load": 2}], "extrapolation": [], "keys": 8, "values": 8}
    return MQAR.model_validate(fields | {"batch": 32, "validation": 32, "test": 64} | changes)


def test_loss_falls_and_the_curve_is_kept():
    found, _ = train(spec("deltanet"), recall(), learning_rate=1e-2, steps=120, evaluations=4)
    assert found.status == "ok" and found.score is not None
    assert [point.step for point in found.curve][-1] == 120
    assert found.curve[-1].loss < 0.8 * found.curve[0].loss
    assert found.tokens == 120 * 32 * 16


def test_one_seed_gives_one_result():
    runs = [
        train(spec("gla"), recall(), learning_rate=1e-2, seed=seed, steps=8)[0]
        for seed in (3, 3, 4)
    ]
    assert runs[0].curve == runs[1].curve and runs[0].metrics == runs[1].metrics
    assert runs[0].curve != runs[2].curve


def test_a_loss_that_is_not_finite_is_a_result():
    found, _ = train(spec("linear-attention"), recall(), learning_rate=1e18, steps=50)
    assert found.status == "diverged" and "loss" in found.reason and found.score is None


def test_no_score_of_a_curve_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights may break in the very step before a score is taken, while losses are fine."""

    def broken(*_: object, **__: object) -> Evaluation:
        return Evaluation(score=float("nan"), loss=float("nan"), metrics={})

    monkeypatch.setattr(training, "evaluate", broken)
    found, _ = train(spec("deltanet"), recall(), learning_rate=1e-3, steps=8)
    assert found.status == "diverged" and "not a number" in found.reason and not found.curve


@pytest.mark.parametrize("bad", ["validation", "test"])
def test_a_loss_that_is_not_finite_at_the_end(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = training.evaluate

    def broken(model: Model, task: MQAR, split: Any, *rest: Any, **more: bool) -> Evaluation:
        found = evaluate(model, task, split, *rest, **more)
        return found._replace(loss=float("inf")) if split == bad else found

    monkeypatch.setattr(training, "evaluate", broken)
    found, _ = train(spec("deltanet"), recall(), learning_rate=1e-3, steps=8)
    assert found.status == "diverged" and found.reason == f"the {bad} loss is not finite"
    assert found.score is found.validation is None and not found.metrics


def test_waiting_does_not_count_where_one_thread_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {1: time.process_time, 2: time.monotonic}
    for threads, clock in counts.items():
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert clock_of("cpu") is clock
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert clock_of("cuda") is time.monotonic


def test_too_slow_is_a_result():
    found, _ = train(spec("deltanet"), Parity(), learning_rate=1e-3, steps=10_000, seconds=0.0)
    assert found.status == "timed_out" and "10000" in found.reason


@pytest.mark.parametrize(
    ("spent", "paused", "step", "said"),
    [
        (101.0, 0.0, 99, "100 s passed at step 99 of 100"),
        (26.0, 0.0, 10, "at this pace it would take 260 s of the 100 s allowed"),
        (26.0, 13.0, 10, ""),  # half of it went into evaluation, which comes early
        (24.0, 0.0, 1, ""),  # the first steps may be the slowest
        (90.0, 0.0, 50, ""),  # it may still get quicker
    ],
)
def test_a_pace_that_ends_a_training(spent: float, paused: float, step: int, said: str):
    found = too_slow(spent, paused, step, 100, 100.0)
    assert found.endswith(said) if said else not found


def test_a_result_survives_its_file(tmp_path: Path):
    found, _ = train(spec("mingru"), recall(), learning_rate=1e-2, steps=4)
    path = tmp_path / "results.jsonl"
    lines.append(path, found)
    with path.open("a") as file:
        file.write('{"schema_version": 1, "name": "torn')
    lines.append(path, found)
    assert lines.read(path, Result) == [found, found]


def test_a_model_survives_its_file(tmp_path: Path):
    model = Model(spec("titans-lmm"), vocabulary=9)
    path = tmp_path / "model.safetensors"
    checkpoint.save(model, path)
    again = checkpoint.load(path)
    tokens = torch.randint(9, (2, 7))
    torch.testing.assert_close(model(tokens)[0], again(tokens)[0], rtol=0, atol=0)
    assert again.spec == model.spec


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "foreign", "swapped"])
def test_a_damaged_checkpoint_gives_a_sentence(tmp_path: Path, damage: str):
    path = tmp_path / "model.safetensors"
    checkpoint.save(Model(spec("gla"), vocabulary=9), path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("not a model")
    elif damage == "foreign":
        save_file({"weight": torch.zeros(2)}, path)
    else:
        other = Model(spec("deltanet"), vocabulary=9)
        header = {"format": checkpoint.FORMAT, "spec": other.spec.model_dump_json()}
        weights = {name: leaf.clone() for name, leaf in Model(spec("gla"), 9).state_dict().items()}
        save_file(weights, path, metadata=header | {"vocabulary": "9"})
    with pytest.raises(SpecError, match=r"model\.safetensors") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
