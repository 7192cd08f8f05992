"""Many pairs, read through more than once."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall, squared


class Pairs(Stream):
    """The same `pairs` random pairs in the same order, `passes` times; all are asked after each.

    Keys are normal vectors of which the share `common` is one offset for all (0: none): key =
    spread * noise + common * offset. Values are normal vectors with mean 0 and variance 1 each.
    Scores: `recall/pass=n`, the share of answers nearest to their own value among all, `recall`,
    the last of them, and `error`, the mean squared error after the last pass.

    Source: the iterative reading of FwPKM (arXiv 2601.00671), as pairs.
    """

    kind: Literal["pairs"] = "pairs"
    pairs: int = Field(default=4096, ge=2)
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=2)
    passes: int = Field(default=4, ge=1)
    spread: float = Field(default=1.0, gt=0.0)
    common: float = Field(default=0.0, ge=0.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = self.spread * dice.normal(self.pairs, self.key_dim)
        keys = keys + self.common * dice.normal(1, self.key_dim)
        values = dice.normal(self.pairs, self.value_dim)
        values = (values - values.mean(-1, keepdim=True)) / values.std(-1, keepdim=True)
        return Episode((piece(keys, values, keys),) * self.passes, {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        values = episode.truth["values"]
        wanted = torch.arange(self.pairs)
        scores = {
            f"recall/pass={number}": recall(each.answer, values, wanted)
            for number, each in enumerate(heard, 1)
        }
        error = squared(heard[-1].answer, values)
        return scores | {"recall": scores[f"recall/pass={self.passes}"], "error": error}
