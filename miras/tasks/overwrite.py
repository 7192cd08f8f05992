"""Recall of what was written last: old values of a key must go."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import (
    IGNORE,
    Answers,
    Batch,
    Floor,
    HeldOut,
    Objective,
    Rows,
    certain,
    distinct,
    latest,
)
from miras.tasks.ladder import Ladder, Rung

EVENT = 3
"""Tokens of an event."""

AT_ONCE = 64
"""Sequences whose histories are looked at together: questions times events are many."""

REWRITES = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4+": (4, 1 << 30)}
"""How often a key was written again, at least and at most, as the metrics tell it apart."""


class Overwrite(Ladder):
    """A stream of writes and questions, where keys are written again and the last value counts.

        W k1 v3  W k2 v1  Q k1 .  W k1 v7  Q k1 .  ...        (v3 is due at the first Q k1, then v7)

    K keys of the alphabet are active in a sequence. An event writes with probability `writes`, else
    it asks; the first one writes, the last one asks. The key of a write is the j-th active key with
    probability ~ 1 / j, its value differs from the present one of the key. A question takes one of
    the writes so far, each equally likely, and asks its key. Ids: keys, values, W, Q, the dot.

    Accuracy also by the number of times that the key was written again (`accuracy/rewrites=1/K=8`);
    `stale/K=8` is the share of questions on rewritten keys that are answered with an older value of
    the key (`stale/rewrites=2+` of those rewritten twice or more), `intrusion/K=8` the share of all
    that are answered with a value which only other keys had.

    Isolates: erasing against decaying: the bias and the retention gate, at keys written again.
    Floor: the larger of two, both exact: the value that the key had first (0.49 for the default
    K = 8: a memory that never overwrites), and the value that was written last, whatever the key.
    Extrapolation: longer streams, where keys are written more often than ever in training.

    Source: the update tasks of Schlag et al. (arXiv 2102.11174) section 6.1 and of Zoology's code
    (forgetting MQAR), as one interleaved stream. Differs: keys are written again many times.
    """

    kind: Literal["overwrite"] = "overwrite"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(63, 4), Rung(63, 8), Rung(126, 16)),
        min_length=1,
        description="[length, active keys] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(126, 8), Rung(252, 8)), description="[length, active keys] only tested"
    )
    keys: int = Field(default=32, ge=2, le=1_000_000, description="different keys")
    values: int = Field(default=64, ge=3, le=1_000_000, description="different values")
    writes: float = Field(default=0.5, gt=0, lt=1, description="probability that an event writes")
    steps: int = Field(default=800, ge=1, le=10_000_000, description="default training length")
    symbol: ClassVar[str] = "K"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(63, 4), Rung(126, 9), Rung(255, 16), Rung(255, 25), Rung(255, 36)),
        "extrapolation": (Rung(510, 64), Rung(1023, 64), Rung(2046, 256)),
        "keys": 4096,
        "values": 4096,
        "steps": 22_500,
        "batch": 256,
    }

    @property
    def vocabulary(self) -> int:
        return self.keys + self.values + 3

    def check(self, rung: Rung) -> None:
        if rung.load > self.keys:
            raise SpecError(
                f"rung {[*rung]} needs {rung.load} different keys, there are {self.keys}: take"
                " fewer or raise `keys`"
            )
        if (needed := EVENT * (rung.load + 1)) > rung.length:
            raise SpecError(
                f"rung {[*rung]} is too short: to write {rung.load} keys and ask one takes"
                f" {needed} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return max(self._reached(rung).values())

    def _reached(self, rung: Rung) -> dict[str, float]:
        """Accuracy of predictors that know only first values, or only the last one written."""
        share = _zipf(rung.load)[:, None]
        earlier = np.arange(rung.length // EVENT - 1)  # events between the first and a question
        weight = np.append(np.full(len(earlier) - 1, 1 - self.writes), 1.0)
        # Of the writes so far n others have the key of the one that is taken, each with probability
        # `share`; the present value is then the first one with probability 1/V + (1 - 1/V) a^n,
        # a = -1 / (V - 1), and there are 1 + Binomial(earlier, writes) writes.
        same = (1 - self.writes * share * self.values / (self.values - 1)) ** earlier
        first = 1 / self.values + (1 - 1 / self.values) * (share * same).sum(0)
        one = (1 - (1 - self.writes) ** (earlier + 1)) / ((earlier + 1) * self.writes)
        again = float((share**2).sum())
        key = one + (1 - one) * again
        last = key + (1 - key) / self.values
        return {
            "first_value": float(np.average(first, weights=weight)),
            "last_value": float(np.average(last, weights=weight)),
        }

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        events, active = rung.length // EVENT, rung.load
        key = distinct(generator, sequences, self.keys, active)
        write = generator.random((sequences, events)) < self.writes
        write[:, 0], write[:, -1] = True, False
        drawn = generator.random((sequences, events))
        which = np.searchsorted(_zipf(active).cumsum()[:-1], drawn)  # of a write
        # A question takes the key of one of the writes so far.
        number = write.cumsum(1)
        order = np.argsort(~write, axis=1, kind="stable")  # writes first, in their order
        taken = np.take_along_axis(order, (drawn * number).astype(np.int64), 1)
        which = np.where(write, which, np.take_along_axis(which, taken, 1))
        value = self.keys + self._present(which, write, generator)

        special = self.keys + self.values
        tokens = np.full((sequences, rung.length), special + 2)
        targets = np.full_like(tokens, IGNORE)
        whole = EVENT * events
        tokens[:, 0:whole:EVENT] = np.where(write, special, special + 1)
        asked = np.take_along_axis(key, which, 1)
        tokens[:, 1:whole:EVENT] = asked
        tokens[:, 2:whole:EVENT] = np.where(write, value, special + 2)
        targets[:, 1:whole:EVENT] = np.where(write, IGNORE, value)
        return tokens, targets

    def _present(
        self, which: NDArray[np.int64], write: NDArray[np.bool_], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """The value of each event's key after the event; a write never repeats the value."""
        order = np.argsort(which, axis=1, kind="stable")  # the events of a key side by side
        which = np.take_along_axis(which, order, 1)
        write = np.take_along_axis(write, order, 1)
        first = np.ones(write.shape, np.bool_)
        first[:, 1:] = which[:, 1:] != which[:, :-1]
        step = np.where(
            first,
            generator.integers(0, self.values, write.shape),
            generator.integers(1, self.values, write.shape) * write,
        )
        total = step.cumsum(1)
        place: Any = np.arange(int(write.shape[1]))
        start = np.maximum.accumulate(np.where(first, place, 0), axis=1)
        total -= np.take_along_axis(total - step, start, 1)
        value = np.empty_like(total)
        np.put_along_axis(value, order, total % self.values, 1)
        return value

    def details(self, batch: Batch, answers: Answers) -> dict[str, float]:
        tokens, targets = batch.tokens.numpy(), batch.targets.numpy()
        ends = (targets != IGNORE).sum(1).cumsum()
        cuts = np.arange(AT_ONCE, len(tokens), AT_ONCE)
        pieces = zip(
            np.split(tokens, cuts),
            np.split(targets, cuts),
            np.split(answers.said, ends[cuts - 1]),
            strict=True,
        )
        history = [self._history(*piece) for piece in pieces]
        rewrites, older, others = (np.concatenate(part) for part in zip(*history, strict=True))
        found: dict[str, float] = {}
        for name, (low, high) in REWRITES.items():
            chosen = (rewrites >= low) & (rewrites <= high)
            if chosen.any():
                found[f"accuracy/rewrites={name}"] = float(answers.correct[chosen].mean())
        stale = older & ~answers.correct
        for name, least in {"stale": 1, "stale/rewrites=2+": 2}.items():
            if (chosen := rewrites >= least).any():
                found[name] = float(stale[chosen].mean())
        found["intrusion"] = float((others & ~older & ~answers.correct).mean())
        return found

    def _history(
        self, tokens: NDArray[np.int64], targets: NDArray[np.int64], said: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each question: times its key was written again, and whether the answer is a value that
        this key had before, or that another key had."""
        whole = int(tokens.shape[1]) // EVENT * EVENT
        written = tokens[:, 0:whole:EVENT] == self.keys + self.values
        key, value = tokens[:, 1:whole:EVENT], tokens[:, 2:whole:EVENT]
        row, event = np.nonzero(targets[:, 1:whole:EVENT] != IGNORE)
        place: Any = np.arange(whole // EVENT)
        before = np.logical_and(written[row], place < event[:, None])
        own: Any = np.logical_and(before, key[row] == key[row, event][:, None])
        met: Any = np.logical_and(before, value[row] == said[:, None])
        return own.sum(1) - 1, (own & met).any(1), (met & ~own).any(1)

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        return self._remember(tokens, overwrite=True)

    def _remember(
        self, tokens: Int64[Tensor, "batch time"], overwrite: bool
    ) -> Int64[Tensor, "batch time"]:
        row = torch.arange(len(tokens))
        table = tokens.new_full((len(tokens), self.keys), IGNORE)
        answers = torch.full_like(tokens, IGNORE)
        for start in range(0, tokens.shape[1] - 1, EVENT):
            event, key = tokens[:, start], tokens[:, start + 1].clamp_max(self.keys - 1)
            known = table[row, key]
            ask = event == self.keys + self.values + 1
            answers[:, start + 1] = known.where(ask, IGNORE)
            if start + 2 < tokens.shape[1]:
                write = event == self.keys + self.values
                write &= torch.tensor(overwrite) | (known == IGNORE)
                table[row, key] = tokens[:, start + 2].where(write, known)
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def first_value(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(self._remember(tokens, overwrite=False)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        last_value = latest(self.keys, self.keys + self.values, self.vocabulary)
        reached = {self.label(rung): self._reached(rung) for rung in rungs}
        predictors = {"first_value": first_value, "last_value": last_value}
        return {
            name: Floor(predict, {f"accuracy/{label}": r[name] for label, r in reached.items()})
            for name, predict in predictors.items()
        }


def _zipf(keys: int) -> NDArray[np.float64]:
    share = 1 / np.arange(1, keys + 1)
    return share / share.sum()
