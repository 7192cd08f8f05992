"""Chance alone."""

from typing import Literal

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial

from ..proposing.ground import Choices, Ground, Whole
from ..space.choosers import FromRandom
from . import Arm, Sampler, Turn


class Random(Sampler):
    """Options by their weights, whatever came of earlier ones: what any search must beat.

    Source: Li and Talwalkar (arXiv 1902.07638), who found it hard to beat.
    """

    kind: Literal["random"] = "random"

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> Whole:
            def propose(study: Study, trials: list[FrozenTrial]) -> Choices:
                return ground.derive(FromRandom(np.random.default_rng(turn.seed)), True)

            return Whole(ground, propose)

        return Arm("random", self.kind, make, whole=True)
