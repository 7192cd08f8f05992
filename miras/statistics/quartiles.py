"""Interquartile mean: a middle that one failed or one lucky run does not move."""

from collections.abc import Sequence

import numpy as np


def interquartile_mean(scores: Sequence[float]) -> float:
    """Mean of the middle half: scores at the border count with the part of them that is inside.

    Of n sorted scores the outer n / 4 on each side weigh nothing. Of 4 scores these are the first
    and the last; of 3 scores the outer ones keep a quarter of their weight each.

    Source: Agarwal et al. 2021 (arXiv 2108.13264). Differs: their code drops floor(n / 4) whole
    scores on each side (`scipy.stats.trim_mean`), which for 3 seeds is the plain mean.
    """
    if not scores:
        raise ValueError("an interquartile mean needs at least one score")
    count = len(scores)
    edges = np.arange(count + 1) / count
    inside = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)
    return float(np.sort(np.asarray(scores, dtype=float)) @ inside / 0.5)
