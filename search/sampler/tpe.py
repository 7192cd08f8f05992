"""Tree-structured Parzen estimator."""

from typing import Literal

from optuna.samplers import TPESampler
from pydantic import Field

from . import Arm, Sampler


class Tpe(Sampler):
    """Draw what is likelier among good trials than among the others.

    The choices that every trial has (the four slots, the learning rate) are modelled together, the
    others each on its own. Candidates that are running count as bad ones, so that two workers do
    not propose the same.

    Source: Bergstra et al. 2011; several objectives by non-dominated rank (Ozaki et al. 2022).
    """

    kind: Literal["tpe"] = "tpe"
    startup: int = Field(default=10, ge=1, description="trials before it stops drawing at random")

    def arm(self, candidate: int) -> Arm:
        def make(seed: int, refused: int) -> TPESampler:
            enough = self.startup + refused  # refused ones teach what fits, not what is good
            return TPESampler(n_startup_trials=enough, multivariate=True, seed=seed)

        return Arm("search", make)
