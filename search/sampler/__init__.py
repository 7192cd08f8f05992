"""Samplers: who proposes the next candidate.

Every proposal has a sampler of its own, seeded by study, trial and attempt: so neither a restart
nor a second worker repeats or changes what is drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Literal, NamedTuple

from optuna.samplers import BaseSampler

from miras.part import Part, one_of

from ..proposing.ground import Ground

TRIES = 20
"""Proposals of its own that an arm may lose before others propose in its place."""


class Turn(NamedTuple):
    """One proposal that is wanted."""

    seed: int
    refused: int = 0
    """Trials of the history that were refused before they were trained."""
    seen: Set[str] = frozenset()
    """Choices that were made before, as `written` writes them."""

    def start(self, startup: int, most: int) -> int:
        """Trials of the start for a sampler that counts refused ones and looks at `most` trials.

        Refused ones teach what fits, not what is good; no more are there than are shown.
        """
        return min(startup + self.refused, max(most // 2, most - startup))


class Arm(NamedTuple):
    """Who proposes one candidate."""

    origin: Literal["search", "random"]
    sampler: str
    """What it is called, in records and figures."""
    make: Callable[[Turn], BaseSampler]
    whole: bool = False
    """Whether it proposes whole derivations, in which all fits, and not one choice at a time."""
    tries: int | None = TRIES
    """Proposals that it may lose as not new or not fitting; None: as many as it has."""
    most: int | None = None
    """Trials that it looks back on: the best and the latest of them; None: all."""
    generation: int | None = None
    """Completed trials that make a generation, if it works in generations."""
    complete: bool = False
    """Whether it knows completed trials alone, so that bad ones are shown to it as the worst."""

    @property
    def looks_back(self) -> bool:
        """Whether it needs to know how earlier trials went."""
        return self.origin == "search"


class Sampler(Part, ABC):
    """A way to search."""

    @abstractmethod
    def arm(self, candidate: int, ground: Ground) -> Arm:
        """Who proposes candidate number 0, 1, 2, ...: a function of number and ground alone."""

    def remarks(self, ground: Ground) -> tuple[str, ...]:
        """What a person should know before this sampler searches this ground, in sentences."""
        return ()


if TYPE_CHECKING:
    AnySampler = Sampler
else:
    AnySampler = one_of(__name__)
