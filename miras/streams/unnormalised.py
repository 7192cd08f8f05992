"""A long sequence of inputs that nobody has normalised."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from miras.streams import LARGEST, Dice, Episode, Heard, Scores, Stream, piece


class Unnormalised(Stream):
    """Random pairs with keys of every length, mean square length `key_dim` times `scale` squared.

    Entries of keys and values are normal. Nothing is asked; the weights are looked at between
    `pieces` pieces.
    Scores: `norm/token=n`, the Frobenius norm of all weights after n tokens, and `largest_norm`.
    Works: the norm stays where it began, while an explicit step on squared error, whose factor is
    1 - step |key|^2, leaves every bound as soon as step |key|^2 is above 2 often enough.

    Source: the norm-bounding retention of Moneta, MIRAS (arXiv 2504.13173), equations 24-25.
    """

    kind: Literal["unnormalised"] = "unnormalised"
    key_dim: int = Field(default=8, ge=1)
    value_dim: int = Field(default=8, ge=1)
    scale: float = Field(default=1.0, gt=0.0, description="standard deviation of the entries")
    pieces: int = Field(default=10, ge=1)
    time: int = Field(default=10_000, ge=1, description="tokens of a piece")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        pieces = (
            piece(
                self.scale * dice.normal(self.time, self.key_dim),
                self.scale * dice.normal(self.time, self.value_dim),
            )
            for _ in range(self.pieces)
        )
        return Episode(tuple(pieces), {})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        scores: Scores = {}
        for number, each in enumerate(heard, 1):
            square = sum(float(leaf.square().sum()) for leaf in each.weights.values())
            norm = square**0.5 if square < LARGEST**2 else LARGEST
            scores[f"norm/token={number * self.time}"] = norm
        return scores | {"largest_norm": max(scores.values())}
