"""Tree-structured Parzen estimator."""

from typing import Any, Literal

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from ..proposing.ground import Ground
from . import Arm, Sampler, Turn


class Tpe(Sampler):
    """Draw what is likelier among good trials than among the others.

    The choices that every trial has (the four slots, the learning rate) are modelled together, the
    others each on its own. Candidates that are running count as bad ones, so that two workers do
    not propose the same. A proposal takes time in proportion to the trials that are looked at: of
    more than `most`, refused ones included, it sees the best quarter of `most` and, of the others,
    the latest.

    Source: Bergstra et al. 2011; several objectives by non-dominated rank (Ozaki et al. 2022).
    """

    kind: Literal["tpe"] = "tpe"
    startup: int = Field(default=10, ge=1, description="trials before it stops drawing at random")
    most: int = Field(default=200, ge=20, description="trials that it looks back on")

    def arm(self, candidate: int, ground: Ground) -> Arm:
        def make(turn: Turn) -> TPESampler:
            enough = turn.start(self.startup, self.most)
            return Quick(n_startup_trials=enough, multivariate=True, seed=turn.seed)

        return Arm("search", self.kind, make, most=self.most)


class Quick(TPESampler):
    """Optuna's, without work whose result is known: a hole has the same options in every trial."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What every finished trial has chosen; Optuna compares all options in all of them."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        past = [each.distributions for each in study.get_trials(deepcopy=False, states=states)]
        common = set[str]().union(*past[:1]).intersection(*past)
        return {name: past[0][name] for name in sorted(common) if not past[0][name].single()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Of a hole that no trial has, nothing is known but its options."""
        past = study.get_trials(deepcopy=False)
        if any(param_name in each.distributions for each in past if each.number != trial.number):
            return super().sample_independent(study, trial, param_name, param_distribution)
        chance = self._random_sampler
        return chance.sample_independent(study, trial, param_name, param_distribution)
