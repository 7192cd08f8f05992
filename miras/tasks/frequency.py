"""How far one gets by naming the most frequent letter."""

from functools import cache
from math import exp, lgamma, log

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from miras.tasks import Floor, always, certain
from miras.tasks.ladder import Ladder


def floors_of_letters(task: Ladder, alphabet: int) -> dict[str, Floor]:
    """Predictors that answer with letters and know no order; letters are the first ids."""

    def most_frequent(
        tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "scored vocabulary"]:
        mode = (tokens[:, :, None] == torch.arange(alphabet)).sum(1).argmax(1, keepdim=True)
        return certain(mode.expand_as(tokens)[scored], task.vocabulary)

    rungs = (*task.rungs, *task.extrapolation)
    one_id = always(0, task.vocabulary)
    return {
        "one_id": Floor(one_id, {f"accuracy/{task.label(r)}": 1 / alphabet for r in rungs}),
        "most_frequent": Floor(
            most_frequent, {f"accuracy/{task.label(r)}": task.floor(r) for r in rungs}
        ),
    }


@cache
def mode_share(letters: int, alphabet: int) -> float:
    """E[count of the most frequent letter] / letters, for letters drawn uniformly.

    Counts of letters are independent Poisson variables c of mean letters / alphabet, given their
    sum: P(no count above m) = [x^letters] (sum_{c <= m} P(c) x^c)^alphabet / P(sum = letters), and
    the expectation is the sum of the complements over m.
    """
    mean = letters / alphabet
    weight = [exp(c * log(mean) - mean - lgamma(c + 1)) for c in range(letters + 1)]
    of_sum = exp(letters * log(letters) - letters - lgamma(letters + 1))
    expected = 0.0
    for most in range(letters):
        all_below = _coefficient(np.array(weight[: most + 1]), alphabet, letters) / of_sum
        if all_below > 1 - 1e-9:
            break
        expected += 1 - all_below
    return expected / letters


def _coefficient(polynomial: NDArray[np.float64], power: int, degree: int) -> float:
    """Coefficient of x^degree in polynomial^power."""
    result = np.ones(1)
    while power:
        if power & 1:
            result = np.convolve(result, polynomial)[: degree + 1]
        polynomial = np.convolve(polynomial, polynomial)[: degree + 1]
        power >>= 1
    return float(result[degree]) if len(result) > degree else 0.0
