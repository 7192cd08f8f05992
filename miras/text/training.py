"""Train a model on text: a plain loop whose every number follows from settings, text and seed.

A step's batch, learning rate and random numbers are functions of seed and step. With weights and
moments from a checkpoint, a training that was killed goes on and gives the same numbers bit for
bit, on the same machine with as many threads and processes.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from miras import checkpoint
from miras.part import SpecError
from miras.text.log import Entry, Log
from miras.text.processes import processes
from miras.text.run import Outcome, Run
from miras.text.settings import TrainingFile
from miras.text.tokens import batch, cut
from miras.train import DIVERGED, environment, hold_memory
from miras.training_step import losses, move, rate_at
from miras.whole_file import replacing


def train(
    file: TrainingFile,
    folder: Path,
    device: str = "auto",
    tensorboard: bool = False,
    begun: Callable[[int, bool], None] | None = None,
    report: Callable[[Entry], None] | None = None,
) -> Outcome:
    """Train in a folder, or go on with what is unfinished there; what is finished is returned.

    `begun` is told how many steps are done and whether this process is the one that writes,
    `report` each line of the log as it is written.
    """
    hold_memory()
    with processes(device) as group, _told() as stop:
        run = Run(file, folder, group)
        if (found := run.finished()) is not None:
            return found
        log: Log | None = None
        if group.first:
            board = folder / "tensorboard" if tensorboard else None
            log = Log(folder / "log.jsonl", run.at.step, board)
        try:
            if begun is not None:
                begun(run.at.step, group.first)
            return _loop(run, log, stop, report)
        finally:
            if log is not None:
                log.close()


def _loop(
    run: Run, log: Log | None, stop: list[int], report: Callable[[Entry], None] | None
) -> Outcome:
    training, at, group = run.training, run.at, run.group
    began = time.monotonic() - at.seconds
    seen: tuple[float, float, int] | None = None
    for step in range(at.step + 1, run.steps + 1):
        rate = training.learning_rate * rate_at(step, run.steps, training.warmup)
        loss, norm = _step(run, step, rate)
        at.losses.append(loss)
        at.step, at.tokens = step, at.tokens + training.batch * training.context
        last = step == run.steps
        looks, saves = last or step % training.look == 0, last or step % training.checkpoint == 0
        asked = bool(stop) and group.size == 1
        writes = looks or step % training.log == 0
        if writes or saves or asked:
            _refuse_divergence(run, loss, norm)
        if writes:
            mean = torch.stack(at.losses).mean().item()
            at.losses.clear()
            paused = time.monotonic()
            seen = _look(run) if looks else None
            at.paused += time.monotonic() - paused if looks else 0.0
            entry = Entry(
                step=step,
                tokens=at.tokens,
                loss=mean,
                learning_rate=rate,
                norm=norm.item(),
                held_out_loss=seen[0] if seen else None,
                bits_per_byte=seen[1] if seen else None,
                seconds=time.monotonic() - began,
            )
            if log is not None:
                log.write(entry)
                if report is not None:
                    report(entry)
        if (saves or asked) and log is not None:
            log.settle()
            at.seconds = time.monotonic() - began
            run.keeper.save(run.model, run.optimizer, at)
            _keep(run)
            at.paused += time.monotonic() - began - at.seconds
        if asked:
            raise KeyboardInterrupt
    at.seconds = time.monotonic() - began
    return _finish(run, seen or _look(run))


def _step(run: Run, step: int, rate: float) -> tuple[Tensor, Tensor]:
    """Take a step; returns the mean loss of all processes before it and the gradient's norm."""
    training, group = run.training, run.group
    _seed(training.seed, step, group.rank)
    windows = batch(run.text, run.parts, training, step, group.rank, group.size)
    run.optimizer.zero_grad(set_to_none=True)
    count = training.pieces
    total = torch.zeros((), device=group.device)
    pieces = zip(windows.tokens.chunk(count), windows.targets.chunk(count), strict=True)
    for number, (tokens, targets) in enumerate(pieces, 1):
        if number < count:
            with group.alone(run.whole):
                total += _back(run, tokens, targets)
        else:
            total += _back(run, tokens, targets)
    norm = move(run.model, run.optimizer, rate, training.clip)
    return group.total(total / (count * group.size)), norm


def _back(run: Run, tokens: Tensor, targets: Tensor) -> Tensor:
    """Add the gradient of one piece of the batch; returns its loss."""
    with torch.autocast(run.group.device.type, torch.bfloat16, enabled=run.narrow):
        loss, whole = run.whole(tokens.to(run.group.device), targets.to(run.group.device))
    (whole / run.training.pieces).backward()
    return loss.detach()


def _seed(seed: int, step: int, rank: int) -> None:
    """Random numbers of a step do not depend on those of steps before."""
    place = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(place[0]))


@torch.no_grad()
def _look(run: Run) -> tuple[float, float, int]:
    """Nats per held-out token, bits per held-out byte, and the number of these bytes."""
    group, window = run.group, run.parts.window
    rows = max(1, run.training.batch // (run.training.pieces * group.size))
    mine = run.parts.held_out[group.rank :: group.size]
    nats = torch.zeros((), dtype=torch.float64)
    run.model.eval()
    for start in range(0, len(mine), rows):
        few = cut(run.text, mine[start : start + rows], window)
        tokens, targets = few.tokens.to(group.device), few.targets.to(group.device)
        with torch.autocast(group.device.type, torch.bfloat16, enabled=run.narrow):
            loss, _ = losses(run.model, tokens, targets)
        nats += loss.double().cpu() * targets.numel()
    run.model.train()
    whole = group.total(nats.to(group.device)).item()
    begins = run.parts.held_out + 1
    size = run.text.bytes_between(begins, begins + window - 1).sum()
    count = len(begins) * (window - 1)
    return whole / count, whole / math.log(2) / max(float(size), 1.0), round(float(size))


def _refuse_divergence(run: Run, loss: Tensor, norm: Tensor) -> None:
    """Before anything is written over: what is not finite now will not come back."""
    value, size = loss.item(), norm.item()
    if not value < DIVERGED or not math.isfinite(size):
        raise SpecError(
            f"diverged: at step {run.at.step} the training loss is {value:.3g} and its gradient"
            f" {size:.3g}. Train anew with a smaller learning rate and another --out; the last good"
            f" weights are in {run.folder}, if a checkpoint was written"
        )


def _keep(run: Run) -> None:
    """Write the weights as a model of their own, which `miras generate` takes."""
    about = {"step": run.at.step, "text": run.text.about.digest}
    checkpoint.save(run.model, run.folder / "model.safetensors", about)
    if run.training.tokenizer is not None:
        with replacing(run.folder / "tokenizer.json") as draft:
            draft.write_bytes(run.training.tokenizer.expanduser().read_bytes())


def _finish(run: Run, seen: tuple[float, float, int]) -> Outcome:
    """Write result.json; from then on the unfinished training is not needed."""
    at = run.at
    nats, bits, size = seen
    outcome = Outcome(
        about=run.about,
        steps=at.step,
        tokens=at.tokens,
        held_out_loss=nats,
        bits_per_byte=bits,
        held_out_bytes=size,
        parameters=run.model.parameters_count(),
        seconds=at.seconds,
        tokens_per_second=at.tokens / max(at.seconds - at.paused, 1e-9),
        environment=environment(run.group.device) | {"processes": run.group.size},
    )
    if run.group.first:
        with replacing(run.folder / "result.json") as draft:
            draft.write_text(outcome.model_dump_json(indent=2) + "\n")
        run.keeper.remove()
    run.group.wait()
    return outcome


@contextmanager
def _told() -> Generator[list[int]]:
    """Signals to stop that came: a single process ends its step and writes a checkpoint first."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        if came:  # asked again
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        yield came
        return
    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
