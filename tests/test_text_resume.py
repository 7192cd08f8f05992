"""Training on text: interrupted in every way, on two processes, and when it runs away."""

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from text_cases import STEPS, curve, ended, equal, file, forked, write_book

from miras.part import SpecError
from miras.resume import CheckpointWarning
from miras.text import run as text_run
from miras.text import training
from miras.text.training import train

MEMNET = {"use": "memnet", "project": True, "layers": 1, "feedforward": 16}
"""Its controller has dropout: a step draws by chance."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A fork of a process that has several threads waits for ever for those that it has not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_book(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def whole(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(file(book), folder)
    return folder


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die in a step, as by `kill -9`."""
    inner = training._step

    def deadly(run: Any, number: int, rate: float) -> Any:
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(run, number, rate)

    monkeypatch.setattr(training, "_step", deadly)


def test_killed_at_twenty_random_steps_the_curve_is_the_same_bit_for_bit(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    quick, whole = file(book, pieces=1, windows=2), tmp_path / "whole"
    train(quick, whole)
    for kill in range(20):
        run = tmp_path / str(kill)
        step = random.Random(kill).randint(1, STEPS)
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            number = forked(lambda run=run: train(quick, run))
            assert ended(number) == -signal.SIGKILL
        lines = curve(run)
        assert [line["step"] for line in lines] == list(range(1, step))
        told: list[int] = []
        train(quick, run, begun=lambda done, _, told=told: told.append(done))
        assert told == [(step - 1) // 3 * 3]
        equal(whole, run)


@pytest.mark.parametrize("memory", ["gla", MEMNET], ids=["gla", "memnet"])
def test_killed_between_lines_of_the_log(
    memory: Any, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The losses of a line that is half made are in the checkpoint, and chance within a step is."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    sparse = file(book, memory, log=4, look=11, pieces=1, windows=2)
    train(sparse, whole)
    assert [line["step"] for line in curve(whole)][:2] == [4, 8]
    with monkeypatch.context() as patch:
        killed_at(8, patch)
        assert ended(forked(lambda: train(sparse, run))) == -signal.SIGKILL
    train(sparse, run)  # from 6: two of the four losses of the line 8 are from before
    equal(whole, run)


def test_killed_from_outside_at_any_moment(book: Path, tmp_path: Path):
    long = file(book, steps=60, checkpoint=1, look=60, pieces=1, windows=2)
    train(long, tmp_path / "whole")
    run = tmp_path / "run"
    rest, lines = random.Random(1), 0
    for _ in range(3):
        number = forked(lambda: train(long, run))
        wanted, deadline = lines + rest.randint(4, 12), time.monotonic() + 120
        while lines < wanted and time.monotonic() < deadline:
            time.sleep(rest.random() * 0.005)
            log = run / "log.jsonl"
            lines = len(log.read_bytes().splitlines()) if log.exists() else 0
        os.kill(number, signal.SIGKILL)
        assert ended(number) == -signal.SIGKILL and 3 < lines < 60
    train(long, run)
    equal(tmp_path / "whole", run)
    assert not [path.name for path in run.iterdir() if path.name.endswith(".part")]


def test_a_signal_ends_the_step_and_writes_a_checkpoint(
    book: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    inner = training._step

    def told(run: Any, number: int, rate: float) -> Any:
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(run, number, rate)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_step", told)
        with pytest.raises(KeyboardInterrupt):
            train(file(book), tmp_path / "run")
    steps: list[int] = []
    train(file(book), tmp_path / "run", begun=lambda step, _: steps.append(step))
    assert steps == [5]
    equal(whole, tmp_path / "run")


def test_what_is_unfinished_or_finished_is_not_written_over(
    book: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        killed_at(8, patch)
        ended(forked(lambda: train(file(book), run)))
    keep = (run / "unfinished.safetensors").read_bytes()
    with pytest.raises(SpecError, match=r"another training: learning rate 0\.003, here 0\.1"):
        train(file(book, learning_rate=0.1), run)
    with pytest.raises(SpecError, match="another training: another model"):
        train(
            file(book, "gla", steps=STEPS).model_copy(update={"model": file(book, "gru").model}),
            run,
        )
    (run / "unfinished.safetensors").write_bytes(keep[:-200])
    with pytest.raises(
        SpecError, match=r"is no whole checkpoint .* remove this file to start over"
    ):
        train(file(book), run)
    (run / "unfinished.safetensors").write_bytes(keep)
    monkeypatch.setattr(text_run, "__version__", "9.9")
    with pytest.warns(CheckpointWarning, match=r"miras .* here 9\.9\. The training goes on"):
        train(file(book, look=4, log=1), run)  # how often it looks is free
    pairs = zip(curve(run), curve(whole), strict=True)
    assert all(one["loss"] == other["loss"] for one, other in pairs)
    stamp = (run / "log.jsonl").stat().st_mtime_ns
    assert train(file(book), run).steps == STEPS
    assert (run / "log.jsonl").stat().st_mtime_ns == stamp
    with pytest.raises(SpecError, match="another training is finished here"):
        train(file(book, seed=1), run)


def test_two_processes_train_as_one(book: Path, tmp_path: Path, whole: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def one_of_two(rank: int) -> None:
        place = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        os.environ.update(place | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
        train(file(book), tmp_path / "run")

    numbers = [forked(lambda rank=rank: one_of_two(rank)) for rank in (0, 1)]
    assert [ended(number) for number in numbers] == [0, 0]
    for one, other in zip(curve(tmp_path / "run"), curve(whole), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert ("bits_per_byte" in one) == ("bits_per_byte" in other)
        bits = [each.get("bits_per_byte", 0.0) for each in (one, other)]
        assert bits[0] == pytest.approx(bits[1], rel=1e-4)


def test_a_loss_that_runs_away_ends_with_a_sentence_and_good_weights(book: Path, tmp_path: Path):
    wild = file(book, "linear-attention", learning_rate=1.0, clip=1e30, steps=200, warmup=0.0)
    wild = wild.model_copy(
        update={"training": wild.training.model_copy(update={"learning_rate": 1e18})}
    )
    with pytest.raises(SpecError, match="diverged: at step"):
        train(wild, tmp_path / "run")
