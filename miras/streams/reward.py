"""A pair matters, but that is known only later."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, cosine, piece, unit


class Reward(Stream):
    """Trials: a pair, `delay` empty tokens, then a reward if the pair was a tagged one.

    Keys are random of length 1, values random signs; empty tokens are zeros. Half of the `trials`
    are tagged, in random order. The stream offers the gate `reward`: 1 where a reward comes, 0
    elsewhere. All keys are asked at the end.
    Scores: `tagged` and `untagged`, the share of answers with a cosine above `near` to the value,
    and their difference `gain`.

    Source: three-factor learning with eligibility traces (Gerstner et al. 2018, arXiv 1801.05219).
    Works: what was rewarded is kept, what was not is not; without a trace nothing is.
    """

    kind: Literal["reward"] = "reward"
    trials: int = Field(default=32, ge=2)
    delay: int = Field(default=5, ge=1)
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=1)
    near: float = Field(default=0.7, gt=0.0, lt=1.0)

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = unit(dice.normal(self.trials, self.key_dim))
        values = dice.signs(self.trials, self.value_dim)
        tagged = dice.order(self.trials) < self.trials // 2
        length = self.delay + 1
        key, value = (
            torch.cat((rows[:, None], rows.new_zeros(self.trials, self.delay, rows.shape[1])), 1)
            for rows in (keys, values)
        )
        reward = torch.zeros(self.trials, length, dtype=torch.float64)
        reward[tagged, -1] = 1.0
        told = piece(key.flatten(0, 1), value.flatten(0, 1), keys, reward=reward.flatten())
        return Episode((told,), {"values": values, "tagged": tagged})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        values, tagged = episode.truth["values"], episode.truth["tagged"]
        near = (cosine(heard[-1].answer, values) > self.near).double()
        rewarded, other = float(near[tagged].mean()), float(near[~tagged].mean())
        return {"tagged": rewarded, "untagged": other, "gain": rewarded - other}
