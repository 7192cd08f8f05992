"""One surprising token, then tokens that are not written any more."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, length, piece, unit


class Burst(Stream):
    """Events: a new pair, then `details` tokens that surprise nobody and come with a zero key.

    A detail is asked at the end, with a key of its own that has the cosine `likeness` with the key
    of its event; its answer is the event's value. Keys and values have length 1.
    Scores: `details` and `events`, the share of answers that are nearer to the value than half its
    length.

    Source: past surprise of Titans (arXiv 2501.00663), section 3.1: an event stays memorable after
    its first moment. Works: what resembles an event is remembered although only the event was told.
    """

    kind: Literal["burst"] = "burst"
    events: int = Field(default=8, ge=1)
    details: int = Field(default=3, ge=1)
    key_dim: int = Field(default=256, ge=2)
    value_dim: int = Field(default=32, ge=1)
    likeness: float = Field(default=0.45, gt=0.0, lt=1.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        event = unit(dice.normal(self.events, 1, self.key_dim))
        other = dice.normal(self.events, self.details, self.key_dim)
        other = unit(other - (other * event).sum(-1, keepdim=True) * event)
        detail = self.likeness * event + (1 - self.likeness**2) ** 0.5 * other
        value = unit(dice.normal(self.events, 1, self.value_dim)).expand(-1, 1 + self.details, -1)
        value = value.flatten(0, 1)
        told = torch.cat((event, torch.zeros_like(detail)), dim=1).flatten(0, 1)
        asked = torch.cat((event, detail), dim=1).flatten(0, 1)
        return Episode((piece(told, value, asked),), {"value": value})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        value = episode.truth["value"]
        near = length(heard[-1].answer - value) < 0.5 * length(value)
        near = near.double().reshape(self.events, 1 + self.details)
        return {"details": float(near[:, 1:].mean()), "events": float(near[:, 0].mean())}
