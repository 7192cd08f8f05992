"""Genetic algorithms for many objectives, as Optuna has them."""

import warnings
from typing import Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler
from pydantic import Field

from ..proposing.ground import Ground
from . import Arm, Sampler, Turn


class Nsga3(Sampler):
    """As `nsga2`, but of a front those are chosen that lie nearest to evenly spread directions.

    Meant for three objectives and more.

    Source: Deb and Jain 2014, through Optuna.
    """

    kind: Literal["nsga3"] = "nsga3"
    population: int = Field(default=20, ge=4, description="trials in a generation")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> NSGAIIISampler:
            with warnings.catch_warnings():  # it has been experimental since 2022
                warnings.simplefilter("ignore", ExperimentalWarning)
                return NSGAIIISampler(population_size=self.population, seed=turn.seed)

        return Arm("search", self.kind, make, generation=self.population)
