"""What the trials of a search let expect of derivations that it has not tried."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .model import Model
from .table import table


def expecting(
    directions: Sequence[StudyDirection],
    trials: Sequence[FrozenTrial],
    most: int,
    generator: np.random.Generator,
) -> Model | None:
    """What the trials let expect of others; None before two of them are trained to their end.

    Several objectives are weighed by chance. What failed, was stopped at a rung or lies further
    below the middle than the best lies above it is all alike bad: how bad says nothing of the good.
    """
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.params]
    bad = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.params]
    if len(whole) < 2:
        return None
    signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in directions]
    worth = weighed(np.array([trial.values for trial in whole]) * signs, generator)
    best = set(np.argsort(-worth, kind="stable")[: most // 2].tolist())
    late = [place for place in range(len(whole)) if place not in best][-(most - len(best)) :]
    kept = sorted(best.union(late))
    worth = worth[kept]
    middle = float(np.median(np.unique(worth)))  # many may be as good as it gets
    floor = 2.0 * middle - float(worth.max())
    used = [*(whole[place] for place in kept), *bad[-most // 4 :]]
    known = np.append(np.maximum(worth, floor), np.full(len(used) - len(kept), floor))
    distributions = {name: among for trial in used for name, among in trial.distributions.items()}
    choices = [trial.params for trial in used]
    return Model(table(choices, distributions), choices, known.tolist())


def weighed(
    points: Float[np.ndarray, "trials scores"], generator: np.random.Generator
) -> Float[np.ndarray, " trials"]:
    """One number for each trial, large ones good; weights of several objectives are drawn.

    Source: Knowles 2006 (ParEGO), equation 2.
    """
    if points.shape[1] == 1:
        return points[:, 0]
    low, high = points.min(axis=0), points.max(axis=0)
    share = (points - low) / np.where(high > low, high - low, 1.0)
    parts = generator.dirichlet(np.ones(points.shape[1])) * (1.0 - share)
    return -(parts.max(axis=1) + 0.05 * parts.sum(axis=1))
