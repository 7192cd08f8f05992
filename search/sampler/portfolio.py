"""A search of several minds, with a control arm."""

from typing import Literal

from pydantic import Field

from ..proposing.ground import Ground
from . import Arm, Sampler
from .brute import Brute, fits
from .evolution import Evolution
from .random import Random
from .tpe import Tpe


class Portfolio(Sampler):
    """TPE and evolution in turn, and at even distances a candidate from chance alone.

    Evolution keeps what depends on what together and is often the faster one, TPE gets away from
    where it is stuck; both learn from what the other has tried. The random arm shows in every study
    whether the search is worth its name, and it keeps looking where the models would not. A space
    that fits the budget as a whole is enumerated instead, as `brute` does it.
    """

    kind: Literal["portfolio"] = "portfolio"
    startup: int = Field(
        default=10, ge=1, description="trials before models stop drawing by chance"
    )
    random: float = Field(default=0.15, ge=0.0, le=1.0, description="share of the random arm")
    tpe: Tpe = Tpe()
    evolution: Evolution = Evolution()

    def arm(self, candidate: int, ground: Ground) -> Arm:
        if fits(ground) and self.random < 1.0:
            return Brute().arm(candidate, ground)
        before = int(candidate * self.random)
        if int((candidate + 1) * self.random) > before:
            return Random().arm(candidate, ground)
        minds = (self.tpe, self.evolution)
        mind = minds[(candidate - before) % 2].model_copy(update={"startup": self.startup})
        return mind.arm(candidate, ground)

    def remarks(self, ground: Ground) -> tuple[str, ...]:
        if not fits(ground):
            return ()
        return (
            f"the space has {ground.size:,} derivations, which fit the budget: all are enumerated,"
            " and nothing is left to chance",
        )
