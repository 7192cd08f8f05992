"""Evolution of derivations."""

from collections.abc import Sequence, Set
from typing import Literal

import numpy as np
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from miras.statistics.dominance import order

from ..proposing.expectation import expecting
from ..proposing.ground import Choices, Ground, Whole, written
from ..proposing.model import Model
from ..proposing.variation import mixed, repeated, varied
from ..space.choosers import FromRandom
from . import Arm, Sampler, Turn

COMPARED = 300
"""Trials of several objectives that are put in order: it takes time with the square of them."""

GENERATIONS = 3
"""How often the most promising children have children before one of them is proposed."""

FOREMOST = 6
"""Children of one generation that have children in the next."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
"""Trials of which something is known; what was proposed and lost is neither."""

RUNG, SCORES = "rung", "scores"
"""What a trial that was stopped at a rung says of itself: how many it passed, and its scores."""


class Evolution(Sampler):
    """Change something in a good derivation: an option, all that stands below one, or a number.

    Parents are among the latest `window` trials that were trained, whoever proposed them, and the
    `elite` best: others have aged. The best of `tournament` of them that chance takes is the
    parent; with probability `crossover` slots of a second one are mixed in. All that still fits
    stays as it was, the rest is drawn among what fits. With several objectives the best one is on
    the first front, and of a front where it is loneliest; the elite is then of the latest 300.
    Trials that were stopped at a rung come after all that were not; failed ones are nobody's
    parents.

    Of many children, and of as many derivations of chance, the most promising have children again;
    what a Gaussian process of the `most` best and latest trials promises most in the end is
    proposed.

    Source: regularized evolution (Real et al., arXiv 1802.01548) on the derivations of a grammar;
    several objectives as in NSGA-II (Deb et al. 2002); children that a model compares as in
    BANANAS (White et al., arXiv 1910.11858). Differs: no child is ever
    equal to an earlier trial, and the model is a Gaussian process with expected improvement.
    """

    kind: Literal["evolution"] = "evolution"
    startup: int = Field(
        default=10,
        ge=1,
        description="trials, baselines of the space among them, before it stops drawing at random",
    )
    window: int = Field(default=30, ge=1, description="latest trials among which parents are")
    elite: int = Field(default=5, ge=0, description="best trials that do not age")
    tournament: int = Field(default=12, ge=1, description="trials of which the best is the parent")
    crossover: float = Field(default=0.2, ge=0.0, le=1.0, description="share with two parents")
    children: int = Field(
        default=30, ge=1, description="children of a generation that a model compares; 1: no model"
    )
    most: int = Field(default=200, ge=20, description="trials that the model looks back on")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        fitted: dict[int, Model | None] = {}

        def make(turn: Turn) -> Whole:
            def propose(study: Study, trials: list[FrozenTrial]) -> Choices:
                generator = np.random.default_rng(turn.seed)
                return self.child(ground, generator, study.directions, trials, turn, fitted)

            return Whole(ground, propose)

        return Arm("search", self.kind, make, whole=True)

    def child(
        self,
        ground: Ground,
        generator: np.random.Generator,
        directions: Sequence[StudyDirection],
        trials: Sequence[FrozenTrial],
        turn: Turn,
        fitted: dict[int, Model | None] | None = None,
    ) -> Choices:
        """The choices of a new candidate, from all trials in their order.

        Models are kept by the number of refused trials: asked once more because its candidate was
        not new, it knows no more than before.
        """
        trained = [trial for trial in trials if may_be_parent(trial)]
        ended = sum(trial.state in ENDED for trial in trials) - turn.refused
        if ended < self.startup or not trained:
            return ground.derive(FromRandom(generator), True)
        rivals = trained if len(directions) == 1 else trained[-COMPARED:]
        elite = [rivals[place] for place in ranked(directions, rivals)[: self.elite]]
        pool = elite + trained[-self.window :]
        places = ranked(directions, pool)

        def parent() -> Choices:
            draws = generator.integers(len(pool), size=self.tournament)
            return pool[places[int(draws.min())]].params

        def born(source: Choices, narrow: bool) -> Choices:
            if generator.random() < self.crossover:
                source = mixed(source, parent(), generator)
            return varied(ground, source, 1 if generator.random() < 0.7 else 2, generator, narrow)

        fitted = {} if fitted is None else fitted
        if self.children > 1 and turn.refused not in fitted:
            fitted[turn.refused] = expecting(directions, trials, self.most, generator)
        expected = fitted.get(turn.refused)
        if expected is None:
            return born(parent(), True)
        # whether it fits together is asked of the winner alone: it takes a hundred times longer
        first = [born(parent(), False) for _ in range(self.children)]
        first += [ground.derive(FromRandom(generator), False) for _ in range(self.children)]
        best = _foremost(expected, first, turn.seen)
        for _ in range(GENERATIONS):
            more = [born(best[number % len(best)], False) for number in range(self.children)]
            best = _foremost(expected, [*best, *more], turn.seen)
        return repeated(ground, best[0], generator)


def _foremost(expected: Model, found: Sequence[Choices], seen: Set[str]) -> list[Choices]:
    """The most promising of those that nobody tried, best first; all if all were tried."""
    different = {written(choices): choices for choices in found}
    fresh = [choices for name, choices in different.items() if name not in seen] or list(found)
    order = expected.promise(fresh).argsort(descending=True, stable=True)
    return [fresh[int(place)] for place in order[:FOREMOST]]


def may_be_parent(trial: FrozenTrial) -> bool:
    """Whether a trial was trained and did not fail: to its end, or to the rung that stopped it."""
    return trial.state == TrialState.COMPLETE or SCORES in trial.user_attrs


def ranked(directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial]) -> list[int]:
    """Places of the trials, best first."""
    found: list[int] = []
    whole = [place for place, trial in enumerate(trials) if trial.state == TrialState.COMPLETE]
    signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in directions]
    if whole:
        points = [
            [sign * value for sign, value in zip(signs, trials[place].values, strict=True)]
            for place in whole
        ]
        if len(signs) == 1:
            found += sorted(whole, key=lambda place: -signs[0] * (trials[place].values or [0.0])[0])
        else:
            found += [whole[place] for place in order(points)]

    def reached(place: int) -> tuple[int, float]:
        attributes = trials[place].user_attrs
        scores = attributes[SCORES].values()
        return attributes.get(RUNG, 0), sum(scores) / max(1, len(scores))

    complete = set(whole)
    stopped = [place for place in range(len(trials)) if place not in complete]
    return found + sorted(stopped, key=reached, reverse=True)
