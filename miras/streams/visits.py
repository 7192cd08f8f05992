"""Things that come in a fixed order: what comes next?"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, recall, unit


class Visits(Stream):
    """`items` items in one random circle, walked `laps` times; then each is a cue for its next.

    An item is a key of length 1 with itself as value, so nothing told links an item to the next but
    the order of time. The stream offers the gate `spread`: 0 on the walk, so that what is active
    is what is there. At the end every item is asked.
    Scores: `next`, the share of answers that, among all items but the asked one, are nearest to
    the next; `same`, the share that are nearest to the asked item among all. Chance of `next` is
    1 / (items - 1).

    Source: the Hebbian graph of MemNet (edges between slots visited one after the other) with
    spreading activation.
    """

    kind: Literal["visits"] = "visits"
    items: int = Field(default=16, ge=3)
    laps: int = Field(default=4, ge=1)
    dim: int = Field(default=128, ge=2)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        items = unit(dice.normal(self.items, self.dim))
        walk = torch.arange(self.items).repeat(self.laps)
        still = torch.zeros(len(walk), dtype=torch.float64)
        told = piece(items[walk], items[walk], items, spread=still)
        return Episode((told,), {"items": items})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        items, answer = episode.truth["items"], heard[-1].answer
        following = torch.arange(self.items).roll(-1)
        distance = torch.cdist(answer.nan_to_num(nan=torch.inf), items)
        others = distance.clone().fill_diagonal_(torch.inf)
        return {
            "next": float((others.argmin(-1) == following).double().mean()),
            "same": recall(answer, items, torch.arange(self.items)),
        }
