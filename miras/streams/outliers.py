"""Targets that are now and then far off."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, squared, unit


class Outliers(Stream):
    """Pairs come again and again; a `share` of the values carries noise of standard deviation
    `scale`.

    Keys are random of length 1, values standard normal, `pairs` of them in random order over
    `time` tokens. At the end every key is asked.
    Scores: `clean_error`, mean squared error to the value without noise. 1 is a memory that answers
    zero; works: far below what squared error reaches with its own best step.

    Source: the robustness claim of Yaad, MIRAS (arXiv 2504.13173), section 5.1 and equation 26.
    """

    kind: Literal["outliers"] = "outliers"
    pairs: int = Field(default=16, ge=1, description="different keys")
    key_dim: int = Field(default=32, ge=1)
    value_dim: int = Field(default=32, ge=1)
    time: int = Field(default=800, ge=1, description="tokens")
    share: float = Field(default=0.1, ge=0.0, le=1.0, description="share of spoiled values")
    scale: float = Field(default=20.0, ge=0.0, description="standard deviation of the noise")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = unit(dice.normal(self.pairs, self.key_dim))
        values = dice.normal(self.pairs, self.value_dim)
        shown = dice.below(self.pairs, self.time)
        spoiled = dice.uniform(self.time, 1) < self.share
        noise = self.scale * dice.normal(self.time, self.value_dim)
        value = values[shown] + torch.where(spoiled, noise, torch.zeros_like(noise))
        return Episode((piece(keys[shown], value, keys),), {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        return {"clean_error": squared(heard[-1].answer, episode.truth["values"])}
