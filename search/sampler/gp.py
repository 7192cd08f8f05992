"""Gaussian process."""

from typing import Literal

from optuna.samplers import GPSampler
from pydantic import Field

from ..proposing.ground import Ground
from . import Arm, Sampler, Turn

MOST_HOLES = 20


class Gp(Sampler):
    """A Gaussian process over the numbers of a small space, such as the settings of one memory.

    A failed trial counts as the worst one so far. Only choices that all trials have are modelled;
    the others are drawn by chance. A proposal takes seconds after some hundred trials, and more
    after that: it looks at the best quarter of `most` and at the latest trials.

    Source: through Optuna; constrained expected improvement in logarithms (Ament et al. 2023).
    """

    kind: Literal["gp"] = "gp"
    startup: int = Field(default=10, ge=1, description="trials before it stops drawing at random")
    most: int = Field(default=300, ge=20, description="trials that it looks back on")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> GPSampler:
            enough = turn.start(self.startup, self.most)
            return GPSampler(
                seed=turn.seed, n_startup_trials=enough, warn_independent_sampling=False
            )

        return Arm("search", self.kind, make, most=self.most, complete=True)

    def remarks(self, ground: Ground) -> tuple[str, ...]:
        numbers, names = ground.holes
        if numbers + names <= MOST_HOLES and names <= numbers:
            return ()
        return (
            f"a Gaussian process is for small numeric spaces: this one has {numbers} numbers and"
            f" {names} choices among names, of which it models those that all trials have; take"
            " portfolio",
        )
