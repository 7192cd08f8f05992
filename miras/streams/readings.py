"""Some questions are for one item, some for all of them together."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, cosine, piece, unit


class Readings(Stream):
    """`items` are told once; then each is a cue for itself, and as often their mean is asked for.

    An item has length 1, is key and value, and is zero in the first entry; the cue for the mean is
    1 there and noise of length `noise` elsewhere.
    Scores: `accuracy`, the share of answers that have a larger cosine with what was asked for than
    with any other item and the mean; `single` and `mean`, the same for each kind of question.
    Lessons: the mean of 1 - cosine with the right answer.

    Source: meta-addressing of MemNet, which mixes reads of the best slots, of all and of any.
    Works: a gate of the query reads one slot or all of them, as it is asked.
    """

    kind: Literal["readings"] = "readings"
    items: int = Field(default=8, ge=2)
    dim: int = Field(default=64, ge=3)
    noise: float = Field(default=0.5, ge=0.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        items = dice.normal(self.items, self.dim)
        items[:, 0] = 0
        items = unit(items)
        cue = dice.normal(self.items, self.dim)
        cue[:, 0] = 0
        cue = self.noise * unit(cue)
        cue[:, 0] = 1
        mean = items.mean(0, keepdim=True).expand(self.items, -1)
        told = piece(items, items, torch.cat((items, unit(cue))))
        return Episode((told,), {"answers": torch.cat((items, mean))})

    def lesson(self, episode: Episode, heard: Sequence[Heard]) -> torch.Tensor:
        return 1 - cosine(heard[-1].answer, episode.truth["answers"]).mean()

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        known = episode.truth["answers"][: self.items + 1]  # the items, and their mean once
        nearness = cosine(heard[-1].answer[:, None], known)
        wanted = torch.cat((torch.arange(self.items), torch.full((self.items,), self.items)))
        right = (nearness.argmax(-1) == wanted).double()
        return {
            "accuracy": float(right.mean()),
            "single": float(right[: self.items].mean()),
            "mean": float(right[self.items :].mean()),
        }
