"""Half of the pairs are junk, and something says which."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall, unit


class Salience(Stream):
    """`relevant` pairs and `junk` others, all `visits` times in random order: too much to hold.

    Keys are random of length 1, values normal. The gate `step` is 1 at relevant pairs and 0
    at junk: a salience that is given, not learned. The relevant keys are asked at the end.
    Scores: `recall`, the share of relevant pairs whose answer is nearest to the right one of all
    values. Works: what matters is kept although the memory is full without the gate.

    Source: importance weighting of the inner loss, as the output gate of FwPKM (arXiv 2601.00671)
    weighs its write.
    """

    kind: Literal["salience"] = "salience"
    relevant: int = Field(default=24, ge=1)
    junk: int = Field(default=24, ge=0)
    visits: int = Field(default=10, ge=1)
    key_dim: int = Field(default=32, ge=1)
    value_dim: int = Field(default=8, ge=1)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        count = self.relevant + self.junk
        keys = unit(dice.normal(count, self.key_dim))
        values = dice.normal(count, self.value_dim)
        order = torch.cat([dice.order(count) for _ in range(self.visits)])
        step = (order < self.relevant).double()
        told = piece(keys[order], values[order], keys[: self.relevant], step=step)
        return Episode((told,), {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        wanted = torch.arange(self.relevant)
        return {"recall": recall(heard[-1].answer, episode.truth["values"], wanted)}
