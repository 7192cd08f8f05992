"""Recall by a key of two parts that may stand apart: neither part alone says the value."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, certain, distinct
from miras.tasks.ladder import Ladder, Rung


class Compositional(Ladder):
    """Recall of all pairs of g first and g second keys, with gaps inside of half of the keys.

        a1 b2 v4  a2 . b2 v1  a1 . . b1 v7  a2 b1 v3  .  a1 . b2  .  a2 b1        (v4, then v3 due)

    All g^2 pairs come once in the context, in random order, each with a value of its own, and are
    asked once in another order. Half of the pairs, in the context and again when they are asked,
    have one or two fillers between their keys, as often the one as the other. What is left of the
    length are fillers at random places among the questions. The value is predicted at the second
    key and does not come again. Ids: first keys, second keys, values, fillers, all disjoint.
    Isolates: keys of several tokens, which have to be joined before they are stored.
    Floor: 1 / g, the value of any pair with the right first key, or with the right second key.
    Extrapolation: a larger grid, and a longer way between context and questions.

    Source: compositional MQAR in Zoology's code (arXiv 2312.04927); gaps after the fuzzy recall of
    MAD (arXiv 2403.17844). Differs: MAD's keys have one to three parts of one alphabet and values
    do too. Full: larger grids of ours, no size is published.
    """

    kind: Literal["compositional"] = "compositional"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(32, 2), Rung(64, 3), Rung(112, 4)),
        min_length=1,
        description="[length, g] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(224, 4), Rung(176, 5)), description="[length, g] that are only tested"
    )
    keys: int = Field(default=32, ge=2, le=100_000, description="different keys of each place")
    values: int = Field(default=64, ge=4, le=1_000_000, description="different values")
    filler: int = Field(default=8, ge=1, le=1_000_000, description="different fillers")
    symbol: ClassVar[str] = "g"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(64, 3), Rung(112, 4), Rung(256, 6), Rung(448, 8)),
        "extrapolation": (Rung(896, 8), Rung(704, 10)),
        "keys": 128,
        "values": 512,
        "steps": 20_000,
        "batch": 128,
    }

    @property
    def vocabulary(self) -> int:
        return 2 * self.keys + self.values + self.filler

    def check(self, rung: Rung) -> None:
        if rung.load > self.keys or rung.load**2 > self.values:
            raise SpecError(
                f"rung {[*rung]} needs {rung.load} different keys of each place and"
                f" {rung.load**2} values, there are {self.keys} and {self.values}: take a smaller"
                " grid or raise `keys` and `values`"
            )
        if (needed := 5 * rung.load**2 + 2 * int(_gaps(rung.load).sum())) > rung.length:
            raise SpecError(
                f"rung {[*rung]} is too short: {rung.load**2} pairs, as many questions and their"
                f" gaps take {needed} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return 1 / rung.load

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, grid = rung
        pairs, all_gaps = grid**2, _gaps(grid)
        first = distinct(generator, sequences, self.keys, grid)
        second = distinct(generator, sequences, self.keys, grid) + self.keys
        value = distinct(generator, sequences, self.values, pairs) + 2 * self.keys
        first_filler = 2 * self.keys + self.values
        tokens = generator.integers(first_filler, self.vocabulary, (sequences, length))
        targets = np.full_like(tokens, IGNORE)
        row = np.arange(sequences)[:, None]

        def shuffled(few: NDArray[np.int64]) -> NDArray[np.int64]:
            return generator.permuted(np.broadcast_to(few, (sequences, pairs)), axis=1)

        pair, gap = shuffled(np.arange(pairs)), shuffled(all_gaps)
        start = (3 + gap).cumsum(1) - (3 + gap)
        tokens[row, start] = first[row, pair // grid]
        tokens[row, start + gap + 1] = second[row, pair % grid]
        tokens[row, start + gap + 2] = value[row, pair]

        pair, gap = shuffled(np.arange(pairs)), shuffled(all_gaps)
        context = 3 * pairs + int(all_gaps.sum())
        left = length - context - 2 * pairs - int(all_gaps.sum())
        waiting = np.sort(distinct(generator, sequences, left + pairs, pairs)) - np.arange(pairs)
        start = context + (2 + gap).cumsum(1) - (2 + gap) + waiting
        tokens[row, start] = first[row, pair // grid]
        tokens[row, start + gap + 1] = second[row, pair % grid]
        targets[row, start + gap + 1] = value[row, pair]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        first, is_second, with_value = self._read(tokens)
        table = tokens.new_full((len(tokens), self.keys**2), IGNORE)
        pair = first * self.keys + (tokens - self.keys).clamp(0, self.keys - 1)
        row, place = with_value.nonzero(as_tuple=True)
        table[row, pair[row, place]] = tokens[row, place + 1]
        return table.gather(1, pair).where(is_second & ~with_value, IGNORE)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first key seen last at each position; where second keys are; where with a value."""
        place = torch.arange(tokens.shape[1]).expand_as(tokens)
        latest = torch.where(tokens < self.keys, place, 0).cummax(1).values
        first = tokens.gather(1, latest).clamp_max(self.keys - 1)
        is_second = (tokens >= self.keys) & (tokens < 2 * self.keys)
        with_value = torch.zeros_like(is_second)
        value = (tokens >= 2 * self.keys) & (tokens < 2 * self.keys + self.values)
        with_value[:, :-1] = is_second[:, :-1] & value[:, 1:]
        return first, is_second, with_value

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def first_value(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            value = (tokens >= 2 * self.keys) & (tokens < 2 * self.keys + self.values)
            found = tokens.gather(1, value.long().argmax(1, keepdim=True))
            return certain(found.expand_as(tokens)[scored], self.vocabulary)

        def one_key(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            first, _, with_value = self._read(tokens)
            table = tokens.new_full((len(tokens), self.keys), 0)
            row, place = with_value.nonzero(as_tuple=True)
            table[row, first[row, place]] = tokens[row, place + 1]
            return certain(table.gather(1, first)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        return {
            "in_context": Floor(
                first_value, {f"accuracy/{self.label(r)}": 1 / r.load**2 for r in rungs}
            ),
            "one_key": Floor(one_key, {f"accuracy/{self.label(r)}": 1 / r.load for r in rungs}),
        }


def _gaps(grid: int) -> NDArray[np.int64]:
    """Fillers inside of the keys of all pairs: none in half of them, else one or two."""
    gaps = np.zeros(grid**2, np.int64)
    gaps[: grid**2 // 2] = 1
    gaps[: grid**2 // 2 : 2] = 2
    return gaps
