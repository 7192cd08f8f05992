"""What earlier trials let expect of choices that nobody has tried: a Gaussian process on them."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from miras.statistics.untyped import optimize

from .ground import Choices
from .table import Seen, Table

CHOSEN, NUMBERED = 4.0, 12.0
"""How far apart two choices, or the ends of a number, are taken to be beforehand, in all holes."""

NOISE = 0.1
"""Share of the variance of scores that is taken for chance beforehand."""

LEAST = 1e-6
"""Noise that there always is, so that equal rows can be told apart."""

SURE = 1.0
"""Standard deviation of what is taken beforehand, in logarithms."""

STEPS = 8
"""Steps of the fit; more change little."""

FARTHEST = 8.0
"""Logarithms that the fit may go away from what is taken beforehand: all numbers stay finite."""


class Model:
    """A Gaussian process whose similarity of two derivations falls with every hole that differs.

    How much each hole counts, and how much of the scores is noise, is fitted to the trials: the
    likelihood of what was seen times a log-normal prior, which leaves most holes as they were
    taken to be beforehand while there are few trials.

    Source: Rasmussen and Williams 2006, equations 2.25 to 2.30; a scale for each input as in
    section 5.1, with a prior that weakens it as inputs grow in number (Hvarfner et al., arXiv
    2402.02229). Differs: similarity of choices by one-hot columns, absent ones in their middle.
    """

    def __init__(self, rows: Table, found: Sequence[Choices], worth: Sequence[float]) -> None:
        self.table = rows
        seen = rows.rows(found)
        self.seen = Seen(seen, seen.turned())
        given = torch.tensor(worth, dtype=torch.float64)
        self.worth = (given - given.mean()) / max(float(given.std(correction=0)), 1e-12)
        asked = max(1.0, sum(map(len, found)) / len(found))
        wide = rows.numbers * (NUMBERED - CHOSEN) + CHOSEN
        self.before = torch.cat([wide / asked, wide.new_tensor([NOISE])]).log()
        logs = self._fitted()
        self.scales = self._scales(logs)
        self.scaled = self.seen.scaled(self.scales)
        similar = self.scaled.near(self.scaled.rows)
        self.factor, self.pull = self._solved(similar, logs[-1])
        self.best = (similar @ self.pull).max()

    def _scales(self, logs: Float[Tensor, " settings"]) -> Float[Tensor, " columns"]:
        """What each column is multiplied with before distances are taken."""
        return (0.5 * logs[:-1]).exp()[self.table.holes]

    def _solved(
        self, similar: Float[Tensor, "rows rows"], noise: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "rows rows"], Float[Tensor, " rows"]]:
        """The factor of what trials have in common, noise included, and it solved for scores."""
        noisy = similar + (noise.exp() + LEAST) * torch.eye(len(similar))
        factor = cast(Tensor, cast(Any, torch.linalg.cholesky)(noisy))
        return factor, torch.cholesky_solve(self.worth[:, None], factor)[:, 0]

    def _fitted(self) -> Float[Tensor, " settings"]:
        """The logs of the scales of all holes and of the noise, as likely as they can be."""

        def unlikely(logs: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = self.unlikely(torch.from_numpy(logs))
            return value, slope.numpy()

        start = self.before.numpy()
        found = optimize.minimize(
            unlikely,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([start - FARTHEST, start + FARTHEST], axis=1),
            options={"maxiter": STEPS},
        )
        return torch.from_numpy(found.x)

    def unlikely(
        self, logs: Float[Tensor, " settings"]
    ) -> tuple[float, Float[Tensor, " settings"]]:
        """How unlikely trials and settings are together, but for a constant; and its gradient.

        The gradient is that of Rasmussen and Williams 2006, equation 5.9, for all scales at once: a
        difference of two products with the rows, where the equation has a trace for each scale.
        """
        scaled = self.seen.scaled(self._scales(logs))
        similar = scaled.near(scaled.rows)
        factor, pull = self._solved(similar, logs[-1])
        likely = -0.5 * self.worth @ pull - factor.diagonal().log().sum()
        away = (logs - self.before) / SURE
        by_noisy = 0.5 * (torch.cholesky_inverse(factor) - pull[:, None] * pull)
        by_distance = by_noisy * similar  # but for its sign
        columns, rows = scaled.columns.where
        values = scaled.columns.values
        products = scaled.columns.times(by_distance)[columns, rows]
        by_value = 2.0 * values * (products - by_distance.sum(dim=0)[rows] * values)
        slope = away / SURE
        slope[:-1].index_add_(0, self.table.holes[columns], by_value)
        slope[-1] += logs[-1].exp() * by_noisy.trace()
        return float(0.5 * away.square().sum() - likely), slope

    def promise(self, found: Sequence[Choices]) -> Float[Tensor, " found"]:
        """By how much each is expected to be better than the best known one; larger is better."""
        similar = self.scaled.near(self.table.rows(found).scaled(self.scales))
        mean = similar @ self.pull
        solver = cast(Any, torch.linalg.solve_triangular)
        known = cast(Tensor, solver(self.factor, similar.T, upper=False))
        deviation = (1.0 - known.square().sum(dim=0)).clamp_min(1e-9).sqrt()
        ahead = (mean - self.best) / deviation
        density = (-0.5 * ahead.square()).exp() / math.sqrt(2.0 * math.pi)
        below = cast(Tensor, cast(Any, torch.special).ndtr(ahead))
        return deviation * (ahead * below + density)
