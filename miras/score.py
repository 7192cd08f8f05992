"""The score that memories are chosen by: what it is made of is said here and nowhere else."""

from collections.abc import Mapping, Sequence

import numpy as np

WEIGHTS = {"ladder": 0.5, "learning": 0.25, "extrapolation": 0.25}
"""Parts of the score of a task and their weights; where a part is missing the others share.

`ladder`: mean over the trained difficulties, of the trained model. `learning`: area under the
learning curve. `extrapolation`: mean over lengths or loads that were never trained.
"""

CHECKPOINTS = 12
FEWEST = 4
"""Points that a curve needs for an area."""


def combined(parts: Mapping[str, float]) -> float:
    """Weighted mean of those parts of the score that exist."""
    known = {name: weight for name, weight in WEIGHTS.items() if name in parts}
    return sum(weight * parts[name] for name, weight in known.items()) / sum(known.values())


def checkpoints(steps: int, count: int = CHECKPOINTS) -> tuple[int, ...]:
    """Steps evenly spaced in their logarithm from 5 % to all of them, rounded."""
    low = max(1.0, 0.05 * steps)
    exact = [low * (steps / low) ** (i / max(1, count - 1)) for i in range(count)]
    return tuple(round(step) for step in exact[:-1]) + (steps,) * bool(exact)


def area(curve: Sequence[tuple[int, float]], steps: int) -> float | None:
    """Area under a learning curve of (step, score): the mean score at the 12 checkpoints.

    Between its points the curve is a line over the logarithm of the steps, before the first it is
    level: a curve with points at all checkpoints gives their plain mean, one with fewer about the
    same. Rewards an early transition; a plateau costs nothing beyond its length. None for a curve
    of fewer than 4 points that does not stand for a run of fewer steps.
    """
    if len(curve) < min(FEWEST, len(set(checkpoints(steps)))):
        return None
    places, scores = zip(*sorted(curve), strict=True)
    found = np.interp(np.log(checkpoints(steps)), np.log(places), scores)
    return float(found.mean())


def task_score(judged: float, metrics: Mapping[str, float], learning: float | None) -> float:
    """Score of a trained model: its parts combined.

    A task without a ladder has a score of its own that no learning curve is mixed into: state
    tracking is judged beyond the trained lengths, while a curve shows the fit to them; text is
    judged in bits per byte. `learning` is then kept beside the score.
    """
    if "ladder" not in metrics:
        return judged
    return combined(metrics if learning is None else {**metrics, "learning": learning})
