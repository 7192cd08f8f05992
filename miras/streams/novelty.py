"""A few new things among endless repetitions."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece


class Novelty(Stream):
    """`common` pairs again and again, `novel` others once each, at random places of `time` tokens.

    Keys and values are normal; whatever is told carries noise of standard deviation `noise`. At the
    end all pairs are asked by their exact keys.
    Scores: `novel` and `common`, the share whose answer has a mean squared error below `near`;
    `written`, the share of tokens that a budget of surprise let through (1 without a budget).
    Works: a memory with few places keeps what came once because it does not write repetitions.

    Source: surprise-gated writing (the surprise of Titans, arXiv 2501.00663, as a hard gate).
    """

    kind: Literal["novelty"] = "novelty"
    common: int = Field(default=20, ge=1)
    novel: int = Field(default=45, ge=1)
    time: int = Field(default=1500, ge=1, description="tokens")
    key_dim: int = Field(default=32, ge=1)
    value_dim: int = Field(default=32, ge=1)
    noise: float = Field(default=0.05, ge=0.0)
    near: float = Field(default=0.1, gt=0.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        count = self.novel + self.common
        keys, values = dice.normal(count, self.key_dim), dice.normal(count, self.value_dim)
        shown = self.novel + dice.below(self.common, self.time)
        shown[dice.order(self.time)[: self.novel]] = torch.arange(self.novel)
        key = keys[shown] + self.noise * dice.normal(self.time, self.key_dim)
        value = values[shown] + self.noise * dice.normal(self.time, self.value_dim)
        return Episode((piece(key, value, keys),), {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        error = (heard[-1].answer - episode.truth["values"]).square().mean(-1)
        near, written = (error < self.near).double(), heard[-1].written
        return {
            "novel": float(near[: self.novel].mean()),
            "common": float(near[self.novel :].mean()),
            "written": float(written.mean()) if len(written) else 1.0,
        }
