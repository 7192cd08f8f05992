"""Hundreds of rewrites of a few keys."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Piece, Scores, Stream, piece, recall


class Rewrites(Stream):
    """`keys` keys, each written once and then rewritten at random with one of `values` values.

    Keys and values are normal vectors; a value of the bank may be that of several keys. All keys
    are asked after each number of writes in `asked`.
    Scores: `recall/rewrites=n`, the share of keys whose answer is nearest to the latest value, and
    `recall`, the last of them.

    Source: the rewrite task of ARMT (arXiv 2407.04841), as pairs. Works: recall does not fall with
    the number of rewrites.
    """

    kind: Literal["rewrites"] = "rewrites"
    keys: int = Field(default=16, ge=1)
    values: int = Field(default=16, ge=2)
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=1)
    asked: tuple[int, ...] = Field(default=(50, 100, 200, 500), min_length=1)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = dice.normal(self.keys, self.key_dim)
        bank = dice.normal(self.values, self.value_dim)
        shown = torch.cat((torch.arange(self.keys), dice.below(self.keys, self.asked[-1])))
        value = dice.below(self.values, len(shown))
        latest = torch.full((self.keys,), -1)
        pieces, truth = list[Piece](), list[torch.Tensor]()
        for start, end in zip((0, *self.asked), self.asked, strict=False):
            for place in range(start, end):
                latest[shown[place]] = value[place]
            pieces.append(piece(keys[shown[start:end]], bank[value[start:end]], keys))
            truth.append(latest.clone())
        return Episode(tuple(pieces), {"bank": bank, "latest": torch.stack(truth)})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        bank, latest = episode.truth["bank"], episode.truth["latest"]
        scores = {
            f"recall/rewrites={end}": recall(each.answer, bank, wanted)
            for end, each, wanted in zip(self.asked, heard, latest, strict=True)
        }
        return scores | {"recall": scores[f"recall/rewrites={self.asked[-1]}"]}
