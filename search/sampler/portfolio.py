"""A search with a control arm."""

from typing import Literal

from pydantic import Field

from . import Arm, Sampler
from .random import Random
from .tpe import Tpe


class Portfolio(Sampler):
    """TPE, and at even distances a candidate from chance alone.

    The random arm shows in every study whether the search is worth its name, and it keeps looking
    where the model would not.
    """

    kind: Literal["portfolio"] = "portfolio"
    startup: int = Field(default=10, ge=1, description="trials before TPE stops drawing at random")
    random: float = Field(default=0.25, ge=0.0, le=1.0, description="share of the random arm")

    def arm(self, candidate: int) -> Arm:
        chance = int((candidate + 1) * self.random) > int(candidate * self.random)
        return (Random() if chance else Tpe(startup=self.startup)).arm(candidate)
