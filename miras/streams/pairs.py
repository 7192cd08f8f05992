"""Many pairs, read through more than once, and perhaps seen before they are learned."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall, squared


class Pairs(Stream):
    """The same `pairs` random pairs in the same order, `passes` times; all are asked after each.

    Keys are normal vectors of which the share `common` is one offset for all (0: none): key =
    spread * noise + common * offset. Values are normal vectors with mean 0 and variance 1 each.
    Before the first pass the keys are shown `rehearsals` times with the gate `step` at 0, later it
    is 1: a memory that takes this gate sees where keys lie and learns no value.
    Scores: `recall/pass=n`, the share of answers nearest to their own value among all, `recall`,
    the last of them, `error`, the mean squared error after the last pass, and, in memories with a
    `table` of slots, `coverage`, the share of its rows that the last pass changed.

    Source: the iterative reading of FwPKM (arXiv 2601.00671), as pairs.
    """

    kind: Literal["pairs"] = "pairs"
    pairs: int = Field(default=4096, ge=2)
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=2)
    passes: int = Field(default=4, ge=1)
    rehearsals: int = Field(default=0, ge=0, description="passes over the keys before the first")
    spread: float = Field(default=1.0, gt=0.0)
    common: float = Field(default=0.0, ge=0.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = self.spread * dice.normal(self.pairs, self.key_dim)
        keys = keys + self.common * dice.normal(1, self.key_dim)
        values = dice.normal(self.pairs, self.value_dim)
        values = (values - values.mean(-1, keepdim=True)) / values.std(-1, keepdim=True)
        one = torch.ones(self.pairs, dtype=torch.float64)
        shown = piece(keys, values, step=0 * one)
        told = piece(keys, values, keys, step=one)
        pieces = (shown,) * self.rehearsals + (told,) * self.passes
        return Episode(pieces, {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        values = episode.truth["values"]
        wanted = torch.arange(self.pairs)
        scores = {
            f"recall/pass={number}": recall(each.answer, values, wanted)
            for number, each in enumerate(heard[self.rehearsals :], 1)
        }
        found = scores | {
            "recall": scores[f"recall/pass={self.passes}"],
            "error": squared(heard[-1].answer, values),
        }
        tables = [each.weights["table"] for each in heard[-2:] if "table" in each.weights]
        if len(tables) == 2:
            changed = (tables[0] != tables[1]).any(-1)
            found["coverage"] = float(changed.double().mean())
        return found
