"""Is what a table of product keys finds the best of all its slots?"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.streams import Dice, Episode, Heard, Scores, Stream, piece


class Lookup(Stream):
    """Random queries to a table that is never written, each checked by looking at every slot.

    Slot (i, j) of the leaf `values` lies under the sub-keys i of `first` and j of `second`, at
    -log(epsilon + |q1 - K1_i|^2) - log(epsilon + |q2 - K2_j|^2); the right answer is the softmax of
    the `top` best of all slots. The gate `step` is 0.
    Scores: `equal`, the share of answers that are right to `near`; as values are random, that needs
    the same slots. Works: all of them.

    Source: product keys (Lample et al. 2019, arXiv 1907.05242), section 3.2, with the scores of
    FwPKM (arXiv 2601.00671).
    """

    kind: Literal["lookup"] = "lookup"
    questions: int = Field(default=512, ge=1)
    key_dim: int = Field(default=32, ge=2, multiple_of=2)
    value_dim: int = Field(default=16, ge=1)
    top: int = Field(default=8, ge=1)
    epsilon: float = Field(default=1e-3, gt=0.0)
    near: float = Field(default=1e-9, gt=0.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        key, value = dice.normal(1, self.key_dim), dice.normal(1, self.value_dim)
        asked = dice.normal(self.questions, self.key_dim)
        told = piece(key, value, asked, step=torch.zeros(1, dtype=torch.float64))
        return Episode((told,), {})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        weights = heard[-1].weights
        if not {"table", "first", "second"} <= weights.keys():
            raise SpecError("stream lookup is for product keys: use architecture product_key")
        asked, half = episode.pieces[-1].asked, self.key_dim // 2
        first = self._nearness(asked[:, :half], weights["first"][:, 0])
        second = self._nearness(asked[:, half:], weights["second"][:, 0])
        every = (first[:, :, None] + second[:, None, :]).flatten(1)
        best, place = every.topk(self.top, dim=-1)
        right = torch.einsum("qi,qiv->qv", best.softmax(-1), weights["table"][place])
        off = (heard[-1].answer - right).abs().amax(-1)
        return {"equal": float((off < self.near).double().mean())}

    def _nearness(self, query: Tensor, table: Tensor) -> Tensor:
        distance = (query[:, None] - table[None]).square().sum(-1)
        return -(self.epsilon + distance).log()
