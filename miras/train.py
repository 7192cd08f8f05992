"""Train a model on a task: one plain loop."""

import ctypes
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from miras.canonical import key
from miras.cost import flops_per_token, parameters_without_embedding
from miras.load import brief
from miras.model import Model, ModelSpec
from miras.result import Point, Result, Status
from miras.resume import Keeper, Progress, identity
from miras.score import CHECKPOINTS, area, checkpoints, task_score
from miras.tasks import Evaluation, Task
from miras.training_step import adamw, rate_at, update

DIVERGED = 1e4
"""A training loss above this many nats is not coming back."""


JUDGED = 0.25
"""Share of its time that a training has before its pace is judged: first steps may be slow."""

HOPELESS = 2.0
"""Times its limit that a training must be expected to take, more than which it ends early."""


def train(
    spec: ModelSpec,
    task: Task,
    *,
    learning_rate: float,
    seed: int = 0,
    steps: int | None = None,
    evaluations: int = CHECKPOINTS,
    seconds: float | None = None,
    extrapolate: bool = True,
    device: torch.device | str = "cpu",
    report: Callable[[Point], None] | None = None,
    keep: Path | None = None,
    every: float = 30.0,
    begun: Callable[[int], None] | None = None,
) -> tuple[Result, Model]:
    """Train from scratch and judge on the test split.

    AdamW (0.9, 0.95), weight decay 0.1 on matrices, gradients clipped at norm 1, a tenth of the
    steps of warm-up, then a cosine to a tenth of `learning_rate`. The validation score is taken
    `evaluations` times, evenly in the logarithm of the steps; this curve enters the score of the
    result as `miras.score` says. A loss that is not finite ends the run as `diverged`, more than
    `seconds` of training as `timed_out`, and a pace at which it would take more than twice as long
    does so after a quarter of them: both are results. Seconds are those of the processor where
    one thread of it trains, so that other work on the machine costs nobody a run; else of the wall.

    With `keep`, the state of the training is written to this file `every` so many seconds, and
    removed when the training has ended. Called again with the same settings, it goes on from there
    and ends with the same result, bit for bit, but for the seconds. Whatever else the file holds is
    told as a warning, and the training starts over. `begun` is told how many steps are done.
    """
    steps = task.steps if steps is None else steps
    hold_memory()
    torch.manual_seed(seed)
    model = Model(spec, task.vocabulary).to(device)
    optimizer = adamw(model)
    pauses = checkpoints(steps, evaluations)
    keeper: Keeper | None = None
    at = Progress()
    if keep is not None:
        about = identity(spec, task, learning_rate, seed, steps, evaluations, device)
        keeper = Keeper(keep, every, about)
        at = keeper.load(model, optimizer)
    if begun is not None:
        begun(at.step)

    clock = clock_of(device)
    began, status, reason = clock() - at.seconds, "ok", ""
    for step, batch in zip(
        range(at.step + 1, steps + 1), task.train_stream(seed, at.step), strict=False
    ):
        rate = learning_rate * rate_at(step, steps)
        at.losses.append(update(model, optimizer, batch, rate, device))
        at.step = step
        at.tokens += batch.tokens.numel()
        at.length = max(at.length, batch.tokens.shape[1])
        if seconds is not None:
            reason = too_slow(clock() - began, at.paused, step, steps, seconds)
            if reason:
                status = "timed_out"
                break
        if step in pauses or step % 25 == 0:
            mean = torch.stack(at.losses).mean().item()
            if not mean < DIVERGED:
                status, reason = "diverged", f"training loss {mean:.3g} at step {step}"
                break
        stopped = clock()
        if step in pauses:
            found = evaluate(model, task, "validation", seed, extrapolate=False)
            if math.isnan(found.score):
                status, reason = "diverged", f"the validation score is not a number at step {step}"
                break
            mean = torch.stack(at.losses).mean().item()
            at.losses.clear()
            at.curve.append(Point(step=step, tokens=at.tokens, loss=mean, score=found.score))
            if report is not None:
                report(at.curve[-1])
        at.paused += clock() - stopped
        if keeper is not None and (keeper.due() or step == steps):
            at.seconds = clock() - began
            keeper.save(model, optimizer, at)
            at.paused += clock() - began - at.seconds
    spent = clock() - began

    score: float | None = None
    validation: float | None = None
    metrics: dict[str, float] = {}
    if status == "ok":
        learning = area([(point.step, point.score) for point in at.curve], steps)
        found = evaluate(model, task, "validation", seed, extrapolate)
        judged = evaluate(model, task, "test", seed, extrapolate)
        broken = [
            split
            for split, each in (("validation", found), ("test", judged))
            if not math.isfinite(each.loss)
        ]
        if broken:
            status, reason = "diverged", f"the {broken[0]} loss is not finite"
        else:
            validation = task_score(found.score, found.metrics, learning)
            score = task_score(judged.score, judged.metrics, learning)
            metrics = judged.metrics | ({} if learning is None else {"learning": learning})
    if keeper is not None:
        keeper.remove()
    memory = spec.pattern[0]
    return Result(
        name=memory.name,
        key=key(memory),
        memory=brief(memory),
        task=task.name,
        settings={"task": task.model_dump(mode="json"), "steps": steps, **_shell(spec)},
        seed=seed,
        learning_rate=learning_rate,
        status=_status(status),
        reason=reason,
        score=score,
        validation=validation,
        metrics=metrics,
        curve=tuple(at.curve),
        steps=at.step,
        tokens=at.tokens,
        seconds=spent,
        parameters=model.parameters_count(),
        parameters_without_embedding=parameters_without_embedding(model),
        state_floats=model.state_floats(at.length),
        flops_per_token=flops_per_token(spec, task.vocabulary, at.length),
        tokens_per_second=at.tokens / max(spent - at.paused, 1e-9),
        environment=environment(device),
    ), model


def too_slow(spent: float, paused: float, step: int, steps: int, most: float) -> str:
    """Why a training of at most so many seconds ends at this step; empty if it goes on."""
    if spent > most:
        return f"{most:.0f} s passed at step {step} of {steps}"
    whole = (spent - paused) / step * steps
    if spent < JUDGED * most or whole <= HOPELESS * most:
        return ""
    return (
        f"step {step} of {steps} was reached after {spent:.0f} s: at this pace it would take"
        f" {whole:.0f} s of the {most:.0f} s allowed"
    )


def hold_memory() -> None:
    """Let freed memory stay with this process, where the C library is glibc.

    A step frees its tensors and wants as many again a moment later. By default glibc hands large
    ones back to the system, which clears each page anew: that can cost more than the arithmetic.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_THRESHOLD, 2**30)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them


def clock_of(device: torch.device | str) -> Callable[[], float]:
    """Seconds of this process where one thread of the processor trains, else of the wall.

    What several threads do cannot be told from their sum, and what a GPU does is not in it.
    """
    alone = torch.device(device).type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.monotonic


def _status(name: str) -> Status:
    found: dict[str, Status] = {"ok": "ok", "diverged": "diverged", "timed_out": "timed_out"}
    return found[name]


def evaluate(
    model: Model,
    task: Task,
    split: Literal["validation", "test"],
    seed: int = 0,
    extrapolate: bool = True,
) -> Evaluation:
    """The task's own judgement of a model. The evaluation data depend on `seed` alone."""
    device = model.embedding.weight.device

    def predict(tokens: Tensor, scored: Tensor) -> Tensor:
        logits, _ = model(tokens.to(device), scored=scored.to(device))
        return logits.float().cpu()

    model.eval()
    with torch.no_grad():
        found = task.evaluate(predict, split, seed, extrapolate)
    model.train()
    return found


def environment(device: torch.device | str = "cpu") -> dict[str, object]:
    """What a result depends on beside its settings."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "machine": platform.machine(),
    }


def _shell(spec: ModelSpec) -> dict[str, object]:
    return {
        "shell": spec.model_dump(mode="json", exclude={"pattern"}),
        "pattern": [memory.name for memory in spec.pattern],
    }
