"""Chance alone."""

from typing import Literal

from optuna.samplers import RandomSampler

from ..proposing.ground import Ground
from . import Arm, Sampler, Turn


class Random(Sampler):
    """Every choice alike, whatever came of earlier ones: what any search must beat.

    Source: Li and Talwalkar (arXiv 1902.07638), who found it hard to beat.
    """

    kind: Literal["random"] = "random"

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> RandomSampler:
            return RandomSampler(seed=turn.seed)

        return Arm("random", make)
