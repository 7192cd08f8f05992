"""First one set of pairs, then another: what is left of the first?"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Piece, Scores, Stream, piece, squared, unit


class TwoTasks(Stream):
    """Task A, then task B: `pairs` pairs each, drawn at random over `first` and `second` tokens.

    Keys are random of length 1, values random signs, told with noise of standard deviation `noise`.
    The gate `boundary` is 1 at the first token of B and 0 elsewhere. All keys of both are asked
    after A and after B.
    Scores: `a_error` and `b_error`, mean squared error to the values without noise at the end,
    their larger one `worse_error`, and `a_before`, the error of A before B. 1 is an answer of zero.

    Source: continual learning with elastic weight consolidation (arXiv 1612.00796), as an inner
    loop. Works: B is learned and A is still there, where plain steps lose A.
    """

    kind: Literal["two_tasks"] = "two_tasks"
    pairs: int = Field(default=24, ge=1, description="pairs of each task")
    key_dim: int = Field(default=64, ge=1)
    value_dim: int = Field(default=64, ge=1)
    first: int = Field(default=1000, ge=1, description="tokens of task A")
    second: int = Field(default=1000, ge=1, description="tokens of task B")
    noise: float = Field(default=0.0, ge=0.0, description="standard deviation of noise on values")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        keys = unit(dice.normal(2, self.pairs, self.key_dim))
        values = dice.signs(2, self.pairs, self.value_dim)
        pieces: list[Piece] = []
        for task, time in enumerate((self.first, self.second)):
            shown = dice.below(self.pairs, time)
            value = values[task, shown] + self.noise * dice.normal(time, self.value_dim)
            boundary = torch.zeros(time, dtype=torch.float64)
            boundary[0] = task
            pieces.append(piece(keys[task, shown], value, keys.flatten(0, 1), boundary=boundary))
        return Episode(tuple(pieces), {"values": values})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        values = episode.truth["values"]
        before, after = (each.answer.reshape(values.shape) for each in heard)
        a, b = squared(after[0], values[0]), squared(after[1], values[1])
        return {
            "a_error": a,
            "b_error": b,
            "worse_error": max(a, b),
            "a_before": squared(before[0], values[0]),
        }
