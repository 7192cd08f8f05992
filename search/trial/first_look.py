"""The first look at a candidate: a few seconds that tell what training cannot cure.

Before any training the candidate is built in the study's shell and put to batches of the task that
it is trained on first. In this order: its logits have the shape asked for; later tokens do not
change earlier logits; a sequence read in two pieces gives what it gives in one; losses and
gradients are finite for some steps at one of three learning rates; the loss on one batch that is
shown again and again falls at one of them. A rate that is too high for a memory is no verdict on
it: it ends here only if all three are. Outcomes are endings of a trial, never results of a task.
"""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from miras.model import Model, ModelSpec, Shell
from miras.part import SpecError
from miras.result import Status
from miras.stack import layers_of
from miras.tasks import Batch, Task
from miras.training_step import adamw, rate_at, update

from ..space.derive import Candidate

SECONDS = 30.0
"""Of the processor, after which the look ends: twice what it should ever take."""

ROWS, LENGTH = 8, 64
"""Sequences of a batch and tokens of a sequence that are looked at."""

STEPS = 4
"""Steps at each rate on a fresh model."""

REPEATS = 24
"""Steps on one batch, within which the loss must have fallen."""

FALL = 0.97
"""Share of the first loss below which it has fallen; random answers to a batch stay above."""

RATES = (1e-3, 3e-3, 1e-2)
"""Where a study does not say a rate: the middle of what small models train at."""

HOPELESS = 3.0
"""Times its limit that training must be expected to take: small steps may be the longest ones."""

TOLERANCE = 1e-3
"""Of logits that should be equal: sums in single precision are not exactly so."""


class Unfit(Exception):
    """What ends a trial before its first training."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


class _NotFiniteError(Exception):
    """What is not finite, and where."""


class _Clock(NamedTuple):
    """The time of the processor: another process beside this one does not make a memory slow."""

    end: float

    def check(self) -> None:
        if time.process_time() > self.end:
            raise Unfit("timed_out", f"the first look took more than {SECONDS:.0f} s")


class Allowed(NamedTuple):
    """What the training may take that a look is followed by, if on one thread."""

    task: str
    steps: int
    seconds: float

    def check(self, step: float) -> None:
        """Raise Unfit where a small step takes so long that the training cannot be in time."""
        if step * self.steps > HOPELESS * self.seconds:
            raise Unfit(
                "timed_out",
                f"{self.task}: a step of {ROWS} sequences of at most {LENGTH} tokens takes"
                f" {step:.2g} s: with {self.steps} of them training would take"
                f" {step * self.steps:.0f} s of the {self.seconds:g} s allowed",
            )


def look(
    candidate: Candidate,
    shell: Shell,
    task: Task,
    rates: tuple[float, ...] = (),
    seed: int = 0,
    seconds: float = SECONDS,
    allowed: Allowed | None = None,
) -> None:
    """Raise Unfit if a candidate is not worth training, with a sentence that says why."""
    clock = _Clock(time.process_time() + seconds)
    spec = ModelSpec.of(shell, layers_of(candidate))
    batch = _batch(task, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = Model(spec, task.vocabulary)
        except SpecError as error:
            raise Unfit("invalid", str(error)) from None
        with torch.no_grad():
            _judged(model.eval(), batch.tokens[:2], clock)
        tried = _three(rates)
        finite: list[float] = []
        for rate in tried:
            torch.manual_seed(seed)
            try:
                step = _steps(Model(spec, task.vocabulary), task, rate, seed, clock)
                if allowed is not None:
                    allowed.check(step)
            except _NotFiniteError as error:
                if rate == tried[-1] and not finite:
                    raise Unfit("diverged", f"{error}, nor is it at lower rates") from None
            else:
                finite.append(rate)
        falls: list[float] = []
        for rate in reversed(finite):
            torch.manual_seed(seed)
            falls.append(_repeated(Model(spec, task.vocabulary), batch, rate, clock))
            if falls[-1] < FALL:
                return
    raise Unfit(
        "invalid",
        f"the loss on one batch shown {REPEATS} times fell to {min(falls):.1%} of the first at"
        f" best, at none of the rates {', '.join(f'{rate:g}' for rate in finite)} below {FALL:.0%}:"
        " no gradient helps it",
    )


def _batch(task: Task, seed: int) -> Batch:
    """A small batch: the first rows and tokens of a longer one, so far as it asks something."""
    for batch in _small(task, seed):
        if bool((batch.targets >= 0).any()):
            return batch
    raise AssertionError("an endless stream ended")


def _small(task: Task, seed: int) -> Iterator[Batch]:
    for tokens, targets in task.train_stream(seed):
        short = Batch(tokens[:ROWS, :LENGTH], targets[:ROWS, :LENGTH])
        # some tasks ask at their end alone: then nothing may be cut off
        yield short if bool((short.targets >= 0).any()) else Batch(tokens[:ROWS], targets[:ROWS])


def _three(rates: tuple[float, ...]) -> tuple[float, ...]:
    """The lowest, the middle and the highest rate; a third and three times one that is alone."""
    if not rates:
        return RATES
    ordered = sorted(rates)
    if len(ordered) < 3:
        middle = math.sqrt(ordered[0] * ordered[-1])
        low, high = min(ordered[0], middle / 3), max(ordered[-1], min(1.0, middle * 3))
        return (low, middle, high)
    return (ordered[0], ordered[len(ordered) // 2], ordered[-1])


def _judged(model: Model, tokens: Tensor, clock: _Clock) -> None:
    whole, _ = model(tokens)
    clock.check()
    wanted = (*tokens.shape, model.vocabulary)
    if whole.shape != wanted:
        raise Unfit("invalid", f"its logits are {tuple(whole.shape)}, wanted are {wanted}")
    if not bool(whole.isfinite().all()):
        raise Unfit("diverged", "its logits are not finite before any training")
    for number in (torch.float32, torch.float64):
        # signs magnify rounding: what single precision cannot show is judged in double
        wrong = _unequal(model.to(number), tokens, clock)
        if not wrong:
            break
    else:
        raise Unfit("invalid", wrong)


def _unequal(model: Model, tokens: Tensor, clock: _Clock) -> str:
    """What is not as it must be if the past alone decides, and the state holds all of it."""
    half = tokens.shape[1] // 2
    if half == 0:
        return ""
    whole, _ = model(tokens)
    clock.check()
    other = tokens.clone()
    other[:, half:] = (other[:, half:] + 1) % model.vocabulary
    changed, _ = model(other)
    clock.check()
    scale = float(whole.abs().max()) + 1e-6
    gap = float((changed[:, :half] - whole[:, :half]).abs().max()) / scale
    if not gap <= TOLERANCE:
        return (
            f"later tokens change earlier logits by {gap:.2g} of the largest: it looks into the"
            " future"
        )
    first, state = model(tokens[:, :half])
    second, _ = model(tokens[:, half:], state)
    clock.check()
    gap = float((torch.cat((first, second), 1) - whole).abs().max()) / scale
    if not gap <= TOLERANCE:
        return (
            f"a sequence read in two pieces gives logits that differ by {gap:.2g} of the largest"
            " from those of one piece: its state does not hold all that it needs"
        )
    return ""


def _steps(model: Model, task: Task, rate: float, seed: int, clock: _Clock) -> float:
    """Some ordinary steps, warm-up included, as a training begins; how long one took.

    The first is left out of that: it is the one that sets things up.
    """
    optimizer = adamw(model)
    began = math.inf
    for step, batch in zip(range(1, STEPS + 1), _small(task, seed), strict=False):
        loss = float(update(model, optimizer, batch, rate * rate_at(step, STEPS * 10)))
        clock.check()
        _finite(model, loss, rate, step)
        began = min(began, time.process_time())
    return (time.process_time() - began) / (STEPS - 1)


def _repeated(model: Model, batch: Batch, rate: float, clock: _Clock) -> float:
    """The smallest loss on one batch as a share of the first."""
    optimizer = adamw(model)
    first = lowest = math.inf
    for step in range(1, REPEATS + 1):
        loss = float(update(model, optimizer, batch, rate))
        clock.check()
        if not math.isfinite(loss):
            return math.inf  # at a rate this high without warm-up: a lower one may do
        first = min(first, loss) if step == 1 else first
        lowest = min(lowest, loss)
        if lowest < FALL * first:
            break
    return lowest / max(first, 1e-9)


def _finite(model: Model, loss: float, rate: float, step: int) -> None:
    if not math.isfinite(loss):
        raise _NotFiniteError(f"the loss of step {step} at rate {rate:g} is not finite")
    for name, leaf in model.named_parameters():
        if leaf.grad is not None and not bool(leaf.grad.isfinite().all()):
            raise _NotFiniteError(
                f"the gradient of {name} in step {step} at rate {rate:g} is not finite"
            )
