"""Samplers: who proposes the next candidate.

Every proposal has a sampler of its own, seeded by study, trial and attempt: so neither a restart
nor a second worker repeats or changes what is drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from optuna.samplers import BaseSampler

from miras.part import Part, one_of


class Arm(NamedTuple):
    """Who proposes one candidate."""

    origin: Literal["search", "random"]
    make: Callable[[int, int], BaseSampler]
    """From a seed, and how many trials of the history were refused before they were trained."""

    @property
    def looks_back(self) -> bool:
        """Whether it needs to know how earlier trials went."""
        return self.origin == "search"


class Sampler(Part, ABC):
    """A way to search."""

    @abstractmethod
    def arm(self, candidate: int) -> Arm:
        """Who proposes candidate number 0, 1, 2, ...: a function of the number alone."""


if TYPE_CHECKING:
    AnySampler = Sampler
else:
    AnySampler = one_of(__name__)
