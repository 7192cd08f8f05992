"""An interrupted training goes on and ends with the numbers of an uninterrupted one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from miras import resume, running, train
from miras.model import Model, ModelSpec
from miras.result import Point, Result
from miras.resume import CheckpointWarning
from miras.tasks.mqar import MQAR

STEPS = 12


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def spec(name: str = "gated-deltanet") -> ModelSpec:
    return ModelSpec.model_validate({"dim": 16, "layers": 1, "heads": 2, "pattern": [name]})


def recall(**changes: object) -> MQAR:
    """Two lengths, so that the batches of a stream differ in shape."""
    rungs = [{"length": 12, "load": 2}, {"length": 16, "load": 3}]
    fields: dict[str, object] = {"rungs": rungs, "extrapolation": [], "keys": 8, "values": 8}
    return MQAR.model_validate(fields | {"batch": 8, "validation": 16, "test": 16} | changes)


def run(model: ModelSpec, keep: Path | None = None, **changes: Any) -> tuple[Result, Model]:
    settings: dict[str, Any] = {"learning_rate": 1e-2, "seed": 3, "steps": STEPS, "evaluations": 3}
    return train.train(model, recall(), keep=keep, every=0.0, **(settings | changes))


def equal(one: tuple[Result, Model], other: tuple[Result, Model]) -> None:
    timeless = {"seconds", "tokens_per_second"}
    assert one[0].model_dump(exclude=timeless) == other[0].model_dump(exclude=timeless)
    pairs = zip(one[1].state_dict().values(), other[1].state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training raise in the step after this one, between its gradient and its end."""
    update = train.update
    taken = 0

    def counted(*given: Any) -> torch.Tensor:
        nonlocal taken
        loss = update(*given)
        taken += 1
        if taken > step:
            raise Stopped
        return loss

    monkeypatch.setattr(train, "update", counted)


@pytest.fixture(scope="module")
def whole() -> tuple[Result, Model]:
    return run(spec())


@pytest.mark.parametrize(
    ("name", "steps", "stops"), [("gated-deltanet", 24, 20), ("titans-lmm", 6, 2)]
)
def test_every_checkpoint_leads_to_the_uninterrupted_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, steps: int, stops: int
):
    keep, copies = tmp_path / "training.safetensors", tmp_path / "copies"
    copies.mkdir()
    save = resume.Keeper.save

    def saved(keeper: Any, model: Any, optimizer: Any, at: resume.Progress) -> None:
        save(keeper, model, optimizer, at)
        shutil.copy(keep, copies / str(at.step))

    with monkeypatch.context() as patch:
        patch.setattr(resume.Keeper, "save", saved)
        equal(whole := run(spec(name), steps=steps), run(spec(name), keep, steps=steps))
    assert not keep.exists() and len(list(copies.iterdir())) == steps
    for step in random.Random(0).sample(range(1, steps + 1), stops):
        shutil.copy(copies / str(step), keep)
        torch.rand(step)  # whatever else draws random numbers meanwhile
        equal(whole, run(spec(name), keep, steps=steps))
        assert not keep.exists()


def test_one_training_stopped_many_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Result, Model]
):
    keep = tmp_path / "training.safetensors"
    for _ in range(3):
        with monkeypatch.context() as patch:
            stop_at(3, patch)
            with pytest.raises(Stopped):
                run(spec(), keep)
    seen: list[Point] = []
    equal(whole, run(spec(), keep, report=seen.append))
    assert [point.step for point in seen] == [STEPS]  # earlier points are not evaluated again


def test_stopped_in_an_evaluation_and_before_the_last_judgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Result, Model]
):
    def stop(*_: object) -> None:
        raise Stopped

    keep = tmp_path / "training.safetensors"
    with pytest.raises(Stopped):
        run(spec(), keep, report=stop)
    with monkeypatch.context() as patch:
        patch.setattr(train, "area", stop)
        with pytest.raises(Stopped):
            run(spec(), keep)
        patch.setattr(train, "update", stop)
        with pytest.raises(Stopped):
            run(spec(), keep)  # all steps are there: none is taken, only the judgement is missing
    equal(whole, run(spec(), keep))


def test_killed_process(tmp_path: Path, whole: tuple[Result, Model]):
    keep = tmp_path / "training.safetensors"
    program = (
        "import sys, pathlib, torch\n"
        "torch.set_num_threads(int(sys.argv[2]))\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from test_resume import run, spec\n"
        "def report(point):\n"
        "    if point.step > 1: print('point', flush=True); sys.stdin.read()\n"
        "run(spec(), pathlib.Path(sys.argv[1]), report=report)\n"
    )
    words = [str(keep), str(torch.get_num_threads()), str(Path(__file__).parent)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stdout.readline() == b"point\n"
        process.send_signal(signal.SIGKILL)
    assert keep.exists()
    equal(whole, run(spec(), keep))


def interrupted(keep: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> bytes:
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        with pytest.raises(Stopped):
            run(spec(), keep, **changes)
    return keep.read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, "seed 4, here 3"),
        ({"learning_rate": 2e-2}, "learning rate 0.02, here 0.01"),
        ({"steps": STEPS + 1}, "steps 13, here 12"),
    ],
)
def test_the_checkpoint_of_another_training_is_told_and_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: tuple[Result, Model],
    changes: dict[str, Any],
    words: str,
):
    keep = tmp_path / "training.safetensors"
    interrupted(keep, monkeypatch, **changes)
    with pytest.warns(CheckpointWarning, match=f"another training: {words}. The training starts"):
        found = run(spec(), keep)
    equal(whole, found)


def test_another_memory_task_or_version_is_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keep = tmp_path / "training.safetensors"
    written = interrupted(keep, monkeypatch)
    with pytest.warns(CheckpointWarning, match="another model"):
        run(spec("gla"), keep, steps=1)
    keep.write_bytes(written)
    with pytest.warns(CheckpointWarning, match="another task"):
        train.train(spec(), recall(batch=9), learning_rate=1e-2, steps=1, keep=keep)
    keep.write_bytes(written)
    monkeypatch.setattr(resume, "__version__", "0.0.1")
    with pytest.warns(CheckpointWarning, match=r"miras .*, here 0\.0\.1"):
        run(spec(), keep, steps=1)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "foreign", "flipped", "header"])
def test_a_damaged_checkpoint_is_told_and_the_training_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Result, Model], damage: str
):
    keep = tmp_path / "training.safetensors"
    written = bytearray(interrupted(keep, monkeypatch))
    match damage:
        case "empty":
            keep.write_bytes(b"")
        case "cut":
            keep.write_bytes(written[: len(written) // 2])
        case "text":
            keep.write_text("not a training")
        case "foreign":
            save_file({"weight": torch.zeros(2)}, keep)
        case "flipped":
            written[-100] ^= 1
            keep.write_bytes(written)
        case _:
            keep.write_bytes(written.replace(b'\\"step\\": 6', b'\\"step\\": 7'))
    with pytest.warns(CheckpointWarning, match="starts over"):
        found = run(spec(), keep)
    equal(whole, found)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(CheckpointWarning, match="could not be written"):
        found = run(spec(), tmp_path / "training.safetensors")
    assert found[0].status == "ok" and not list(tmp_path.iterdir())


def test_a_short_training_writes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[int] = []

    def save(keeper: object, model: object, optimizer: object, at: resume.Progress) -> None:
        written.append(at.step)

    monkeypatch.setattr(resume.Keeper, "save", save)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train.train(spec(), recall(), learning_rate=1e-2, steps=4, keep=tmp_path / "t.safetensors")
    assert written == [4]


def test_evaluations_before_a_checkpoint_are_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else who goes on from it would find the training slower than it is, and end it."""
    spent: list[tuple[float, float]] = []
    now = [0.0]

    def evaluated(*args: Any, **settings: Any) -> Any:
        now[0] += 100.0
        return evaluate(*args, **settings)

    def save(keeper: object, model: object, optimizer: object, at: resume.Progress) -> None:
        now[0] += 10.0
        spent.append((at.seconds, at.paused))

    evaluate = train.evaluate
    monkeypatch.setattr(train, "evaluate", evaluated)
    monkeypatch.setattr(train, "clock_of", lambda _: lambda: now[0])
    monkeypatch.setattr(resume.Keeper, "save", save)
    run(spec(), tmp_path / "t.safetensors")
    assert spent and all(seconds == paused for seconds, paused in spent)  # steps took no time


def test_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def command() -> None:
        sizes = ["model.dim=16", "model.layers=1", "task.batch=8", "task.test=8"]
        changes = [*sizes, "task.validation=8", "task.longest=8", "task.lengths=[12]"]
        running.run("gla", "parity", None, 0, 8, tmp_path, "cpu", changes)

    monkeypatch.setattr(resume.Keeper, "due", lambda _: True)
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        with pytest.raises(Stopped):
            command()
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished-8-0.003-0.safetensors"]
    capsys.readouterr()
    command()
    assert "going on after step 3 of 8" in capsys.readouterr().out
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.safetensors", "result.jsonl"]
