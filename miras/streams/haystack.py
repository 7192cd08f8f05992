"""Some pairs that come once, among many that come again and again."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall, unit


class Haystack(Stream):
    """`needles` pairs at random places among repetitions of `fillers` other pairs.

    Keys are random of length 1; those of the filler carry fresh noise each time. Values are random
    signs of length 1. At the end the needles are asked.
    Scores: `recall`, the share of needles whose answer is nearest to the right one of all values.

    Source: single needle in a haystack of RULER (arXiv 2404.06654), as pairs without a text around
    them. Works: a memory that should lose nothing is level with the delta rule.
    """

    kind: Literal["haystack"] = "haystack"
    needles: int = Field(default=8, ge=1)
    fillers: int = Field(default=8, ge=1)
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=1)
    time: int = Field(default=256, ge=2, description="tokens")
    noise: float = Field(default=0.1, ge=0.0, description="length of the noise on filler keys")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = unit(dice.normal(self.needles + self.fillers, self.key_dim))
        values = unit(dice.signs(self.needles + self.fillers, self.value_dim))
        shown = self.needles + dice.below(self.fillers, self.time)
        shown[dice.order(self.time)[: self.needles]] = torch.arange(self.needles)
        fuzzy = keys[shown] + self.noise * unit(dice.normal(self.time, self.key_dim))
        key = torch.where((shown < self.needles)[:, None], keys[shown], unit(fuzzy))
        return Episode((piece(key, values[shown], keys[: self.needles]),), {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        wanted = torch.arange(self.needles)
        return {"recall": recall(heard[-1].answer, episode.truth["values"], wanted)}
