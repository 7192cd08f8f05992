"""Is one memory better than another over several tasks? A paired bootstrap over (task, seed)."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[str, Mapping[int, float]]
"""Score by task and seed."""


class Difference(NamedTuple):
    """First less second: mean over tasks of means over seeds, its interval, and its sign.

    `probability` is two-sided, of a difference this far from 0 or further if there were none.
    `pairs` is the number of (task, seed) that both have.
    """

    mean: float
    low: float
    high: float
    probability: float
    tasks: int
    pairs: int


def paired_bootstrap(
    first: Scores,
    second: Scores,
    *,
    tasks: Literal["fixed", "drawn"] = "fixed",
    confidence: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Compare on the (task, seed) that both have: equal seeds saw equal data in equal order.

    With `fixed` tasks seeds are drawn again within each task: the question is about these very
    tasks. With `drawn` tasks the tasks are drawn again too, then their seeds: the question is about
    tasks like these. Deviations from the mean of a group of n are stretched by sqrt(n / (n - 1)):
    draws from three seeds alone would spread by a third too little. All seeds of `drawn` tasks
    count once as seeds and once within the spread between tasks: that interval is slightly wide.

    Of intervals of 95 %, 93 % held the truth with 8 fixed tasks of 3 seeds, 91 to 98 % with 8 drawn
    ones, but 82 % with a single task of 3 seeds: there use `mean_interval` of the differences.

    A task with one seed adds nothing to the spread within; one task cannot be `drawn`.
    Raises ValueError if nothing is shared, or if nothing can spread.
    """
    shared = {
        task: np.array(
            [
                first[task][each] - second[task][each]
                for each in sorted({*first[task]} & {*second[task]})
            ]
        )
        for task in sorted({*first} & {*second})
    }
    groups = [differences for differences in shared.values() if len(differences)]
    if not groups:
        raise ValueError("the two share no task and seed: run both on the same tasks and seeds")
    if tasks == "drawn" and len(groups) < 2:
        raise ValueError("one task cannot stand for others: give more tasks, or tasks='fixed'")
    if tasks == "fixed" and max(map(len, groups)) < 2:
        raise ValueError(
            "with one seed for each task nothing is known about chance: run more seeds"
        )
    generator = np.random.default_rng(seed)
    drawn = np.stack([_means(group, samples, generator) for group in groups])
    means = np.array([group.mean() for group in groups])
    if tasks == "drawn":
        count = len(groups)
        stretched = means.mean() + (means - means.mean()) * np.sqrt(count / (count - 1))
        chosen = generator.integers(0, count, (count, samples))
        drawn = stretched[chosen] + (drawn - means[:, None])[chosen, np.arange(samples)]
    found = drawn.mean(0)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    least = 1 + min(int((found <= 0).sum()), int((found >= 0).sum()))
    return Difference(
        mean=float(means.mean()),
        low=float(low),
        high=float(high),
        probability=min(1.0, 2 * least / (samples + 1)),
        tasks=len(groups),
        pairs=sum(map(len, groups)),
    )


def _means(
    group: NDArray[np.float64], samples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means of draws with replacement, with the spread that the mean of the group has."""
    count, mean = len(group), group.mean()
    if count < 2:
        return np.full(samples, mean)
    drawn = group[generator.integers(0, count, (samples, count))].mean(1)
    return mean + (drawn - mean) * np.sqrt(count / (count - 1))
