"""In-context recall: the value that this key had before, in a stream of pairs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, always, distinct, latest
from miras.tasks.ladder import Ladder, Rung


class InContextRecall(Ladder):
    """Recall in a stream of pairs that come again, with noise or without: writing while one reads.

        k3 v1 k7 v5 n2 n8 k3 v1 k7 v5 ...  (n noise; at the second k3 v1 is due, then v5)

    Each sequence takes K keys of the alphabet with K different values; each pair of the stream is
    one of them, drawn uniformly with replacement. The value is due at every key that has come
    before. `noise` is the share of pairs that are two noise ids instead: 0 is MAD's in-context
    recall, 0.2 its noisy recall. The two are one task: noise adds what must not be written.
    Ids: keys, values, noise, disjoint.
    Isolates: writing while reading, and with noise what must not be written.
    Floor: any value that was seen so far, right once in as many as there are different ones:
    (pairs - 1) / sum_i K (1 - (1 - 1/K)^i), i = 0 .. pairs - 1, without noise pairs.
    Extrapolation: the same K in a longer stream.

    Source: MAD (arXiv 2403.17844), in-context and noisy recall. Differs: values of different keys
    differ, so that the floor is known; K is a ladder (MAD's first setting has 8 keys and 92 % of
    the answers within 32 tokens); the number of noise pairs is exact and their places are drawn
    last, so that no sequence is without a question; training too is on the answers alone.
    """

    kind: Literal["in_context_recall"] = "in_context_recall"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(32, 4), Rung(48, 8), Rung(96, 16), Rung(128, 32)),
        min_length=1,
        description="[length, keys of a sequence] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(192, 16), Rung(384, 16)),
        description="[length, keys of a sequence] that are only tested",
    )
    keys: int = Field(default=64, ge=2, le=1_000_000, description="different keys")
    values: int = Field(default=64, ge=2, le=1_000_000, description="different values")
    noise: float = Field(default=0.0, ge=0, le=0.95, description="share of pairs that are noise")
    noise_ids: int = Field(default=16, ge=1, le=1_000_000, description="different noise ids")
    symbol: ClassVar[str] = "K"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(128, 8), Rung(256, 32), Rung(1024, 64)),
        "extrapolation": (),
        "steps": 20_000,
        "batch": 128,
        "test": 1280,
    }

    @property
    def vocabulary(self) -> int:
        return self.keys + self.values + (self.noise_ids if self.noise else 0)

    def pairs(self, rung: Rung) -> tuple[int, int]:
        """How many pairs of a sequence are real, and how many are noise."""
        pairs = rung.length // 2
        noise = round(self.noise * pairs)
        return pairs - noise, noise

    def check(self, rung: Rung) -> None:
        length, keys = rung
        if length % 2:
            raise SpecError(f"rung {[*rung]} has an odd length: pairs need an even one")
        if keys > min(self.keys, self.values):
            raise SpecError(
                f"rung {[*rung]} needs {keys} different keys and values, there are {self.keys} and"
                f" {self.values}: take fewer or raise `keys` and `values`"
            )
        real, noise = self.pairs(rung)
        if real <= keys:
            raise SpecError(
                f"rung {[*rung]} has {real} pairs beside {noise} of noise, so that {keys} keys need"
                " not come twice: take a longer one, fewer keys or less noise"
            )

    def floor(self, rung: Rung) -> float:
        pairs, _ = self.pairs(rung)
        before = np.arange(pairs)
        return float((pairs - 1) / (rung.load * (1 - (1 - 1 / rung.load) ** before)).sum())

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        real, noise = self.pairs(rung)
        key = distinct(generator, sequences, self.keys, rung.load)
        value = distinct(generator, sequences, self.values, rung.load) + self.keys
        stream = np.full((sequences, real + noise), -1)
        stream[:, :real] = generator.integers(0, rung.load, (sequences, real))
        if noise:
            stream = generator.permuted(stream, axis=1)
        # The first place of each key: the least place at which it stands.
        first = np.full((sequences, rung.load + 1), real + noise)
        row = np.arange(sequences)[:, None]
        for place in range(real + noise - 1, -1, -1):
            first[row[:, 0], stream[:, place]] = place
        is_real = stream >= 0
        again = is_real & (first[row, stream] < np.arange(real + noise))
        tokens = np.empty((sequences, rung.length), np.int64)
        tokens[:, 0::2] = key[row, stream]
        tokens[:, 1::2] = value[row, stream]
        if noise:
            ids = generator.integers(self.keys + self.values, self.vocabulary, tokens.shape)
            tokens = np.where(is_real.repeat(2, axis=1), tokens, ids)
        targets = np.full_like(tokens, IGNORE)
        targets[:, 0::2][again] = tokens[:, 1::2][again]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        table = tokens.new_full((len(tokens), self.vocabulary), IGNORE)
        answers = torch.full_like(tokens, IGNORE)
        for place in range(0, tokens.shape[1], 2):
            key = tokens[:, place : place + 1]
            answers[:, place : place + 1] = table.gather(1, key)
            if place + 1 < tokens.shape[1]:
                value = tokens[:, place + 1 : place + 2]
                table.scatter_(1, key, value.where(key < self.keys, IGNORE))
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        rungs = (*self.rungs, *self.extrapolation)
        one_id = always(self.keys, self.vocabulary)
        latest_value = latest(self.keys, self.keys + self.values, self.vocabulary)
        return {
            "one_id": Floor(one_id, {f"accuracy/{self.label(r)}": 1 / self.values for r in rungs}),
            "in_context": Floor(
                latest_value, {f"accuracy/{self.label(r)}": self.floor(r) for r in rungs}
            ),
        }
