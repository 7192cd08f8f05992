"""Facts that are asked often or seldom, each followed by something that never comes again."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Piece, Scores, Stream, cosine, unit


class Zipf(Stream):
    """`facts` pairs with frequencies rank^(-`power`); between any two of them a pair seen once.

    The read at the token before a fact asks for it, so a hit is a fact that was held before it was
    told again. Keys are random of length 1, values random signs of length 1.
    Scores: `hits`, the share of facts in the second half whose read has a cosine above `near` with
    the right value.

    Source: cache policies under Zipf traffic with one-time scans (the case of ARC, Megiddo and
    Modha 2003). Works: of few places, those that matter are kept from what passes through.
    """

    kind: Literal["zipf"] = "zipf"
    facts: int = Field(default=600, ge=2)
    power: float = Field(default=0.9, ge=0.0)
    time: int = Field(default=4000, ge=2, description="facts told; as many others between them")
    key_dim: int = Field(default=64, ge=2)
    value_dim: int = Field(default=16, ge=2)
    near: float = Field(default=0.9, gt=0.0, lt=1.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = unit(dice.normal(self.facts + self.time, self.key_dim))
        values = unit(dice.signs(self.facts + self.time, self.value_dim))
        ranks = torch.arange(1, self.facts + 1, dtype=torch.float64)
        asked = dice.pick(ranks**-self.power, self.time)
        shown = torch.stack((self.facts + torch.arange(self.time), asked), dim=1).flatten()
        query = keys[asked].repeat_interleave(2, dim=0)
        told = Piece(query, keys[shown], values[shown], {}, keys[:0])
        return Episode((told,), {"values": values[asked]})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        found = cosine(heard[-1].output[::2], episode.truth["values"])
        late = found[self.time // 2 :]
        return {"hits": float((late > self.near).double().mean())}
