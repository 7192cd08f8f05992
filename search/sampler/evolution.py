"""Evolution of derivations."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from miras.statistics.dominance import order

from ..proposing.ground import Choices, Ground, Whole
from ..proposing.variation import mixed, varied
from ..space.choosers import FromRandom
from . import Arm, Sampler, Turn

COMPARED = 300
"""Trials of several objectives that are put in order: it takes time with the square of them."""

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

    Source: regularized evolution (Real et al., arXiv 1802.01548) on the derivations of a grammar;
    several objectives as in NSGA-II (Deb et al. 2002). Differs: all trials may be parents, and no
    child is ever equal to an earlier trial.
    """

    kind: Literal["evolution"] = "evolution"
    startup: int = Field(default=10, ge=1, description="trials before it stops drawing at random")
    window: int = Field(default=30, ge=1, description="latest trials among which parents are")
    elite: int = Field(default=5, ge=0, description="best trials that do not age")
    tournament: int = Field(default=12, ge=1, description="trials of which the best is the parent")
    crossover: float = Field(default=0.2, ge=0.0, le=1.0, description="share with two parents")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> Whole:
            def propose(study: Study, trials: list[FrozenTrial]) -> Choices:
                generator = np.random.default_rng(turn.seed)
                return self.child(ground, generator, study.directions, trials)

            return Whole(ground, propose)

        return Arm("search", make, whole=True)

    def child(
        self,
        ground: Ground,
        generator: np.random.Generator,
        directions: Sequence[StudyDirection],
        trials: Sequence[FrozenTrial],
    ) -> Choices:
        """The choices of a new candidate, from all trials in their order."""
        trained = [trial for trial in trials if may_be_parent(trial)]
        if len(trained) < self.startup:
            return ground.derive(FromRandom(generator), True)
        rivals = trained if len(directions) == 1 else trained[-COMPARED:]
        elite = [rivals[place] for place in ranked(directions, rivals)[: self.elite]]
        pool = elite + trained[-self.window :]
        places = ranked(directions, pool)

        def parent() -> Choices:
            return pool[
                places[int(generator.integers(len(pool), size=self.tournament).min())]
            ].params

        source = parent()
        if generator.random() < self.crossover:
            source = mixed(source, parent(), generator)
        return varied(ground, source, 1 if generator.random() < 0.7 else 2, generator)


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
