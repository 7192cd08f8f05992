"""Genetic algorithms in generations, as Optuna has them."""

from typing import Literal

from optuna.samplers import NSGAIISampler
from pydantic import Field

from ..proposing.ground import Ground
from . import Arm, Sampler, Turn


class Nsga2(Sampler):
    """Generations of candidates; parents are chosen by front, then by crowding.

    A generation is full when `population` trials were trained to their end, in the order of their
    numbers: what failed, was refused or was stopped at a rung is in none of them, so with rungs a
    generation takes longer. Only choices that all trials have are inherited; the others are drawn
    by chance, which makes it weak on spaces with many of these.

    Source: Deb et al. 2002, through Optuna.
    """

    kind: Literal["nsga2"] = "nsga2"
    population: int = Field(default=20, ge=4, description="trials in a generation")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> NSGAIISampler:
            return NSGAIISampler(population_size=self.population, seed=turn.seed)

        return Arm("search", self.kind, make, generation=self.population)
