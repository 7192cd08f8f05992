"""Everything, one after the other."""

from collections.abc import Iterator
from typing import Literal, cast

from optuna import Study
from optuna.trial import FrozenTrial
from pydantic import Field

from ..proposing.ground import Choices, Exhausted, Ground, Whole, written
from ..space.asking import LEARNING_RATE
from ..space.choosers import Odometer
from ..space.nodes import Number
from . import Arm, Sampler, Turn

Named = tuple[Choices, str]
"""Choices, and what they are as `written` writes them."""


class Brute(Sampler):
    """Every derivation in a fixed order; what does not fit the grammar is left out.

    A real number stands at `points` places, evenly spread over its range: at the middle of it if
    there is one. A learning rate that is searched stands in the middle of its range. Holes that
    are chosen last change fastest.
    """

    kind: Literal["brute"] = "brute"
    points: int = Field(default=1, ge=1, le=1000, description="values of every real number")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> Whole:
            def propose(study: Study, trials: list[FrozenTrial]) -> Choices:
                for choices, name in self.every(ground):
                    if name not in turn.seen:
                        return choices
                raise Exhausted

            return Whole(ground, propose)

        return Arm("search", self.kind, make, whole=True, tries=None)

    def every(self, ground: Ground) -> Iterator[Named]:
        """All derivations; those that were thought of once are not worked out again."""
        done, rest = cast(
            "tuple[list[Named], Iterator[Choices]]",
            ground.kept.setdefault(("brute", self.points), ([], self._derivations(ground))),
        )
        yield from done
        for choices in rest:
            done.append((choices, written(choices)))
            yield done[-1]

    def _derivations(self, ground: Ground) -> Iterator[Choices]:
        start: list[int] = []
        while True:
            dials = _Dials(start, self.points)
            yield ground.derive(dials, True)
            turned = dials.dials
            while turned and turned[-1][0] + 1 == turned[-1][1]:
                turned.pop()
            if not turned:
                return
            start = [position for position, _ in turned]
            start[-1] += 1

    def remarks(self, ground: Ground) -> tuple[str, ...]:
        found: list[str] = []
        if ground.size > ground.candidates:
            found.append(
                f"the space has {ground.size:,} derivations and the budget {ground.candidates:,}"
                " trials for them: brute sees the first of them alone; give it a smaller space or"
                " a larger budget, or take another sampler"
            )
        if ground.continuous:
            count = f"{self.points} values" if self.points > 1 else "the middle"
            found.append(
                f"of every real number brute tries {count} alone; `points` in the sampler makes it"
                " more"
            )
        return tuple(found)


class _Dials(Odometer):
    """Goes through all options that fit, and through some values of each number."""

    def __init__(self, start: list[int], points: int) -> None:
        super().__init__(start)
        self.points = points
        self.numbers: dict[str, int | float] = {}

    def number(self, name: str, among: Number) -> int | float:
        if name == LEARNING_RATE:  # a memory is not tried again at another one
            return among.middle
        if name not in self.numbers:  # one that does not fit is asked for again: it stays
            if among.whole:
                value = super().number(name, among)
            else:
                value = among.between((self._turn(self.points) + 0.5) / self.points)
            self.numbers[name] = value
        return self.numbers[name]


def fits(ground: Ground) -> bool:
    """Whether all that a ground holds can be tried."""
    return not ground.continuous and ground.size <= ground.candidates
