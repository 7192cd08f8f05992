"""Chance alone."""

from typing import Literal

from optuna.samplers import RandomSampler

from . import Arm, Sampler


class Random(Sampler):
    """Every choice alike, whatever came of earlier ones: what any search must beat.

    Source: Li and Talwalkar (arXiv 1902.07638), who found it hard to beat.
    """

    kind: Literal["random"] = "random"

    def arm(self, candidate: int) -> Arm:
        def make(seed: int, refused: int) -> RandomSampler:
            return RandomSampler(seed=seed)

        return Arm("random", make)
