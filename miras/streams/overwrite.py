"""The same keys get new values: the latest one counts."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall


class Overwrite(Stream):
    """One-hot keys, values one-hot times `total`: all keys once, then `rewrites` random ones again.

    At the end every key is asked.
    Scores: `recall`, the share of answers whose nearest value is the latest one, and
    `simplex_error`, how far the weights are from being non-negative with the sum `total` of every
    row, or of every column, whichever is nearer.

    Source: overwriting as in the introduction of DeltaNet (arXiv 2102.11174), with the weights on a
    simplex of Memora, MIRAS (arXiv 2504.13173), equation 27.
    """

    kind: Literal["overwrite"] = "overwrite"
    keys: int = Field(default=16, ge=1)
    values: int = Field(default=16, ge=2)
    rewrites: int = Field(default=112, ge=0)
    total: float = Field(
        default=1.0, gt=0.0, description="size of a value; wanted sum of a row or column of weights"
    )

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        key = torch.cat((dice.order(self.keys), dice.below(self.keys, self.rewrites)))
        value = dice.below(self.values, len(key))
        latest = torch.zeros(self.keys, dtype=torch.int64)
        for place in range(len(key)):
            latest[key[place]] = value[place]
        keys = torch.eye(self.keys, dtype=torch.float64)
        values = self.total * torch.eye(self.values, dtype=torch.float64)
        told = piece(keys[key], values[value], keys)
        return Episode((told,), {"values": values, "latest": latest})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        last = heard[-1]
        found = recall(last.answer, episode.truth["values"], episode.truth["latest"])
        off = [0.0]
        for leaf in last.weights.values():
            sums = [float((leaf.sum(along) - self.total).abs().max()) for along in (-1, -2)]
            off += [min(sums), float(-leaf.min())]
        return {"recall": found, "simplex_error": max(off)}
