"""Inputs that hardly move in some directions, and noisy values."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, piece, squared


class Correlated(Stream):
    """Noisy values of a linear map of correlated inputs: few samples, badly conditioned.

    key = A z / sqrt(key_dim), z normal, the columns of A random and scaled from 1 down to
    10^(-`decades`) (the covariance has a condition number around 10^(2 decades)); value = W key +
    noise. After `time` samples `asked` fresh keys are asked.
    Scores: `relative_error`, squared error of the answers over the mean square of the exact ones.
    Works: the confidence of the memory in a direction sets its step there.

    Source: recursive least squares against normalised least mean squares, a standard comparison of
    adaptive filters (Haykin, Adaptive Filter Theory).
    """

    kind: Literal["correlated"] = "correlated"
    key_dim: int = Field(default=32, ge=2)
    value_dim: int = Field(default=8, ge=1)
    time: int = Field(default=400, ge=1, description="tokens")
    asked: int = Field(default=500, ge=1)
    decades: float = Field(default=1.5, ge=0.0)
    noise: float = Field(default=0.5, ge=0.0, description="standard deviation of noise on values")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        scales = torch.logspace(0, -self.decades, self.key_dim, dtype=torch.float64)
        mixing = dice.normal(self.key_dim, self.key_dim) * scales / self.key_dim**0.5
        exact = dice.normal(self.key_dim, self.value_dim)
        key = dice.normal(self.time, self.key_dim) @ mixing.T
        value = key @ exact + self.noise * dice.normal(self.time, self.value_dim)
        asked = dice.normal(self.asked, self.key_dim) @ mixing.T
        return Episode((piece(key, value, asked),), {"answers": asked @ exact})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        exact = episode.truth["answers"]
        error = squared(heard[-1].answer, exact)
        return {"relative_error": error / float(exact.square().mean())}
