"""From a sampler to a candidate that is new: who is asked, how often, and who else if need be."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Literal, NamedTuple

import numpy as np
import optuna
from jaxtyping import Float, Int
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..sampler import Arm, Turn
from ..sampler.random import Random
from ..space.choosers import FromTrial
from .ground import Choices, Exhausted, Ground, written
from .history import DUPLICATE, Past, frozen
from .variation import varied

NEIGHBOURS = 20
"""Changed copies of what was not new that are tried before chance proposes."""

CHANCES = 100
"""Proposals of chance that may be lost as well."""


GENERATIONS = ("NSGAIISampler:generation", "NSGAIIISampler:generation")
"""Where Optuna's genetic algorithms keep the generation of a trial."""


class Rejection(NamedTuple):
    """Why a proposal is not taken: the rule, and its sentence."""

    rule: str
    sentence: str


class Proposal(NamedTuple):
    """What a trial is to be, and what was proposed before it and not taken."""

    origin: Literal["search", "random"]
    choices: Choices
    lost: tuple["Lost", ...] = ()
    proposed_by: str = ""


class Lost(NamedTuple):
    """A proposal that was not taken."""

    attempt: int
    choices: Choices
    why: Rejection


Take = Callable[[Proposal], Rejection | None]
"""Makes a proposal the plan of the trial, or says why not."""


def propose(
    ground: Ground,
    arm: Arm,
    past: Past,
    directions: Sequence[str],
    place: tuple[int, int],
    take: Take,
) -> bool:
    """Look for a candidate until one is taken; False if none was.

    `place` is the seed of the search and the number of the trial: with the attempt they are the
    seed of every proposal, whatever was drawn before.
    """
    asked = _Asked(ground, arm, past, directions)
    lost: list[Lost] = []
    tried: set[str] = set()
    for attempt, way in enumerate(asked.ways()):
        seed = seed_of(*place, attempt)
        try:
            choices, origin, by = way(seed)
        except Exhausted:
            return False
        name = written(choices)
        if arm.tries is None and name in tried:
            return False  # a space of one derivation never runs out: nobody is asked for it
        tried.add(name)
        if name in asked.seen:
            why = Rejection(DUPLICATE, "the same choices as before")
        else:
            found = take(Proposal(origin, choices, tuple(lost), by))
            if found is None:
                return True
            why = found
        asked.learn(choices, why)
        lost.append(Lost(attempt, choices, why))
    return False


Idea = tuple[Choices, Literal["search", "random"], str]
"""Choices, whether a search or chance made them, and the sampler that did."""

Way = Callable[[int], Idea]


class _Asked:
    """Those who propose for one trial, and what they have learned while it was looked for."""

    def __init__(self, ground: Ground, arm: Arm, past: Past, directions: Sequence[str]) -> None:
        self.ground, self.arm = ground, arm
        self.seen = set(past.seen)
        self.refused = past.refused
        self.study = study_of(past.trials if arm.looks_back else (), arm, directions)
        self.known: Choices | None = None  # the latest proposal that was good, but not new

    def ways(self) -> Iterator[Way]:
        """Who is asked, one attempt after the other."""
        if self.arm.tries is None:
            yield from repeat(partial(self._ask, self.arm))
            return
        yield from repeat(partial(self._ask, self.arm), self.arm.tries)
        near = range(NEIGHBOURS if self.arm.looks_back and self.known else 0)
        yield from (partial(self._neighbour, 1 + far // 7) for far in near)
        yield from repeat(partial(self._ask, Random().arm(0, self.ground)), CHANCES)

    def _ask(self, arm: Arm, seed: int) -> Idea:
        self.study.sampler = arm.make(Turn(seed, self.refused, self.seen))
        trial = self.study.ask()
        chooser = FromTrial(trial, seed)
        choices = self.ground.derive(chooser, not arm.whole)
        self.study.tell(trial, state=TrialState.FAIL)  # Optuna looks away: `learn` says what it was
        return choices, arm.origin, arm.sampler

    def _neighbour(self, changes: int, seed: int) -> Idea:
        source = self.known or {}
        choices = varied(self.ground, source, changes, np.random.default_rng(seed))
        return choices, "search", self.arm.sampler

    def learn(self, choices: Choices, why: Rejection) -> None:
        """A proposal was not taken: one that does not fit is shown to the sampler as bad."""
        self.seen.add(written(choices))
        if why.rule == DUPLICATE:
            self.known = choices
            return
        self.refused += 1
        self.study.add_trial(frozen(self.ground, choices, bad="invalid"))


def study_of(trials: Sequence[FrozenTrial], arm: Arm, directions: Sequence[str]) -> optuna.Study:
    """An Optuna study in memory that holds what an arm is to look back on."""
    storage = InMemoryStorage()
    wanted = [StudyDirection[direction.upper()] for direction in directions]
    number = storage.create_new_study(wanted, "study")
    if arm.most is not None:
        trials = fewer(trials, arm.most, wanted)
    if arm.complete:
        trials = _all_complete(trials, wanted)
    generations = 0
    for trial in trials:
        if arm.generation and trial.state == TrialState.COMPLETE:
            trial = _in_generation(trial, generations // arm.generation)
            generations += 1
        storage.create_new_trial(number, template_trial=trial)
    return optuna.load_study(study_name="study", storage=storage)


def fewer(
    trials: Sequence[FrozenTrial], most: int, directions: Sequence[StudyDirection]
) -> Sequence[FrozenTrial]:
    """The best quarter of `most` trials, and of the others the latest, in their order.

    The best are those that fewest others beat in all objectives. Those that run are all there.
    """
    if len(trials) <= most:
        return trials
    whole = [place for place, trial in enumerate(trials) if trial.state == TrialState.COMPLETE]
    signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in directions]
    points = np.array([trials[place].values for place in whole]).reshape(len(whole), -1) * signs
    if len(signs) == 1:
        best = np.argsort(-points[:, 0], kind="stable")
    else:
        best = np.argsort(_beaten_by(points), kind="stable")
    kept: set[int] = {whole[int(place)] for place in best[: most // 4]}
    running = {p for p, trial in enumerate(trials) if trial.state == TrialState.RUNNING}
    rest = [place for place in range(len(trials)) if place not in kept | running]
    kept |= running | set(rest[max(0, len(rest) - (most - len(kept))) :])
    return [trials[place] for place in sorted(kept)]


def _beaten_by(points: Float[np.ndarray, "points scores"]) -> Int[np.ndarray, " points"]:
    """How many other points beat each of them."""
    never_worse = np.ones((len(points), len(points)), dtype=bool)
    for column in points.T:
        never_worse &= column[:, None] >= column[None]
    return (never_worse & ~never_worse.T).sum(axis=0)


def _all_complete(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """With the worst values so far for those that failed, for samplers that would not see them."""
    known = [trial.values for trial in trials if trial.state == TrialState.COMPLETE]
    if not known:
        return [trial for trial in trials if trial.state == TrialState.RUNNING]
    worst = [
        min(column) if direction == StudyDirection.MAXIMIZE else max(column)
        for column, direction in zip(zip(*known, strict=True), directions, strict=True)
    ]
    found: list[FrozenTrial] = []
    for trial in trials:
        if trial.state == TrialState.PRUNED:
            trial = copy.copy(trial)
            trial.state, trial.values = TrialState.COMPLETE, worst
            trial.system_attrs = {}
        found.append(trial)
    return found


def _in_generation(trial: FrozenTrial, generation: int) -> FrozenTrial:
    """A trial that the genetic algorithms count in a generation."""
    trial = copy.copy(trial)
    trial.system_attrs = dict.fromkeys(GENERATIONS, generation)
    return trial


def seed_of(study: int, slot: int, attempt: int) -> int:
    """A seed of its own for every proposal, whatever was drawn before."""
    return int(np.random.SeedSequence((study, slot, attempt)).generate_state(1)[0])
