"""Train a model on a task: one plain loop."""

import ctypes
import math
import platform
import sys
import time
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miras.canonical import key
from miras.cost import flops_per_token, parameters_without_embedding
from miras.info import collecting
from miras.load import dump, reads
from miras.model import Model, ModelSpec
from miras.result import Point, Result, Status
from miras.score import CHECKPOINTS, area, checkpoints, task_score
from miras.tasks import IGNORE, Batch, Evaluation, Task

DIVERGED = 1e4
"""A training loss above this many nats is not coming back."""


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
) -> tuple[Result, Model]:
    """Train from scratch and judge on the test split.

    AdamW (0.9, 0.95), weight decay 0.1 on matrices, gradients clipped at norm 1, a tenth of the
    steps of warm-up, then a cosine to a tenth of `learning_rate`. The validation score is taken
    `evaluations` times, evenly in the logarithm of the steps; this curve enters the score of the
    result as `miras.score` says. A loss that is not finite ends the run as `diverged`, more than
    `seconds` of training as `timed_out`: both are results.
    """
    steps = task.steps if steps is None else steps
    hold_memory()
    torch.manual_seed(seed)
    model = Model(spec, task.vocabulary).to(device)
    optimizer = _optimizer(model, learning_rate, device)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    pauses = checkpoints(steps, evaluations)

    began, tokens, status, reason = time.monotonic(), 0, "ok", ""
    paused = 0.0
    curve: list[Point] = []
    losses: list[Tensor] = []
    step = length = 0
    for step, batch in zip(range(1, steps + 1), task.train_stream(seed), strict=False):
        loss = _step(model, optimizer, schedule, batch, device)
        losses.append(loss.detach())
        tokens += batch.tokens.numel()
        length = max(length, batch.tokens.shape[1])
        if seconds is not None and time.monotonic() - began > seconds:
            status, reason = "timed_out", f"{seconds:.0f} s passed at step {step} of {steps}"
            break
        if step in pauses or step % 25 == 0:
            mean = torch.stack(losses).mean().item()
            if not mean < DIVERGED:
                status, reason = "diverged", f"training loss {mean:.3g} at step {step}"
                break
        if step in pauses:
            stopped = time.monotonic()
            found = evaluate(model, task, "validation", seed, extrapolate=False)
            mean = torch.stack(losses).mean().item()
            losses.clear()
            curve.append(Point(step=step, tokens=tokens, loss=mean, score=found.score))
            if report is not None:
                report(curve[-1])
            paused += time.monotonic() - stopped
    spent = time.monotonic() - began

    score: float | None = None
    validation: float | None = None
    metrics: dict[str, float] = {}
    if status == "ok":
        learning = area([(point.step, point.score) for point in curve], steps)
        found = evaluate(model, task, "validation", seed, extrapolate)
        validation = task_score(found.score, found.metrics, learning)
        judged = evaluate(model, task, "test", seed, extrapolate)
        if not math.isfinite(judged.loss):
            status, reason, validation = "diverged", "the test loss is not finite", None
        else:
            score = task_score(judged.score, judged.metrics, learning)
            metrics = judged.metrics | ({} if learning is None else {"learning": learning})
    memory = spec.pattern[0]
    return Result(
        name=memory.name,
        key=key(memory),
        memory=reads(dump(memory)).data,
        task=task.name,
        settings={"task": task.model_dump(mode="json"), "steps": steps, **_shell(spec)},
        seed=seed,
        learning_rate=learning_rate,
        status=_status(status),
        reason=reason,
        score=score,
        validation=validation,
        metrics=metrics,
        curve=tuple(curve),
        steps=step,
        tokens=tokens,
        seconds=spent,
        parameters=model.parameters_count(),
        parameters_without_embedding=parameters_without_embedding(model),
        state_floats=model.state_floats(length),
        flops_per_token=flops_per_token(spec, task.vocabulary, length),
        tokens_per_second=tokens / max(spent - paused, 1e-9),
        environment=environment(device),
    ), model


def hold_memory() -> None:
    """Let freed memory stay with this process, where the C library is glibc.

    A step frees its tensors and wants as many again a moment later. By default glibc hands large
    ones back to the system, which clears each page anew: that can cost more than the arithmetic.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_THRESHOLD, 2**30)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them


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


def _step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batch: Batch,
    device: torch.device | str,
) -> Tensor:
    tokens, targets = batch.tokens.to(device), batch.targets.to(device)
    scored = targets != IGNORE
    with collecting() as info:
        logits, _ = model(tokens, scored=scored)
    loss = F.cross_entropy(logits.float(), targets[scored])
    optimizer.zero_grad(set_to_none=True)
    (loss + info.loss()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return loss


def _optimizer(
    model: Model, learning_rate: float, device: torch.device | str
) -> torch.optim.Optimizer:
    # Gains, gate constants and initial weights of memories have scales of their own.
    decayed = {
        id(part.weight) for part in model.modules() if isinstance(part, nn.Linear | nn.Embedding)
    }
    matrices = [p for p in model.parameters() if id(p) in decayed]
    others = [p for p in model.parameters() if id(p) not in decayed]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def _rate(step: int, steps: int) -> float:
    warm = max(1, round(0.1 * steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))


def _shell(spec: ModelSpec) -> dict[str, object]:
    return {
        "shell": spec.model_dump(mode="json", exclude={"pattern"}),
        "pattern": [memory.name for memory in spec.pattern],
    }
