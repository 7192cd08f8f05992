"""What earlier trials let expect of choices that nobody has tried: a Gaussian process on them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Tensor
from torch.optim.lbfgs import LBFGS

from .ground import Choices

CHOSEN, NUMBERED = 4.0, 12.0
"""How far apart two choices, or the ends of a number, are taken to be beforehand, in all holes."""

NOISE = 0.1
"""Share of the variance of scores that is taken for chance beforehand."""

LEAST = 1e-6
"""Noise that there always is, so that equal rows can be told apart."""

SURE = 1.0
"""Standard deviation of what is taken beforehand, in logarithms."""

STEPS = 15
"""Steps of the fit; more change little."""


class Table(NamedTuple):
    """How choices are written as rows of numbers, and which columns are of one hole.

    A number is its place in its range; a choice has a column for each of its options. What is not
    asked in a derivation stands in the middle, so it is near to every answer.
    """

    columns: Mapping[tuple[str, object], int]
    distributions: Mapping[str, BaseDistribution]
    holes: Int[Tensor, " columns"]
    """The hole of each column."""
    numbers: Float[Tensor, " holes"]
    """1 for a hole that a number fills, else 0."""

    def rows(self, found: Sequence[Choices]) -> Float[Tensor, "found columns"]:
        """Choices as rows; what no trial has chosen is left out."""
        rows = [[0.0] * len(self.holes) for _ in found]
        for row, choices in zip(rows, found, strict=True):
            for name, value in choices.items():
                among = self.distributions.get(name)
                if isinstance(among, CategoricalDistribution):
                    column = self.columns.get((name, value))
                    if column is not None:
                        row[column] = math.sqrt(0.5)  # two different options are 1 apart
                elif among is not None:
                    row[self.columns[name, None]] = _place(float(value), among) - 0.5
        return torch.tensor(rows, dtype=torch.float64)


def table(found: Sequence[Choices], distributions: Mapping[str, BaseDistribution]) -> Table:
    """The columns that these choices need, from what each was chosen from."""
    columns: dict[tuple[str, object], int] = {}
    holes: list[int] = []
    numbers: list[float] = []
    places: dict[str, int] = {}
    for choices in found:
        for name, value in choices.items():
            among = distributions[name]
            chosen = isinstance(among, CategoricalDistribution)
            if name not in places:
                places[name] = len(places)
                numbers.append(0.0 if chosen else 1.0)
            column = (name, value if chosen else None)
            if column not in columns:
                columns[column] = len(columns)
                holes.append(places[name])
    wide = torch.tensor(numbers, dtype=torch.float64)
    return Table(columns, distributions, torch.tensor(holes), wide)


def _place(value: float, among: BaseDistribution) -> float:
    """Where in its range a number is, from 0 to 1, in the logarithm of a range that has one."""
    low, high = float(getattr(among, "low", 0.0)), float(getattr(among, "high", 1.0))
    if getattr(among, "log", False):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


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
        self.seen = rows.rows(found)
        given = torch.tensor(worth, dtype=torch.float64)
        self.worth = (given - given.mean()) / max(float(given.std(correction=0)), 1e-12)
        asked = max(1.0, sum(map(len, found)) / len(found))
        wide = torch.where(rows.numbers > 0, NUMBERED, CHOSEN) / asked
        self.before = torch.cat([wide, wide.new_tensor([NOISE])]).log()
        logs = self._fitted()
        self.scales = self._scales(logs)
        similar = self._similar(self.seen, self.seen)
        self.factor, self.pull = self._solved(similar, logs[-1])
        self.best = (similar @ self.pull).max()

    def _scales(self, logs: Float[Tensor, " settings"]) -> Float[Tensor, " columns"]:
        """What each column is multiplied with before distances are taken."""
        return (0.5 * logs[:-1]).exp()[self.table.holes]

    def _similar(
        self, one: Float[Tensor, "rows columns"], other: Float[Tensor, "others columns"]
    ) -> Float[Tensor, "rows others"]:
        return _similar(one * self.scales, other * self.scales)

    def _solved(
        self, similar: Float[Tensor, "rows rows"], noise: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "rows rows"], Float[Tensor, " rows"]]:
        """The factor of what trials have in common, noise included, and it solved for scores."""
        noisy = similar + (noise.exp() + LEAST) * torch.eye(len(similar))
        factor = cast(Tensor, cast(Any, torch.linalg.cholesky)(noisy))
        return factor, torch.cholesky_solve(self.worth[:, None], factor)[:, 0]

    def _fitted(self) -> Float[Tensor, " settings"]:
        """The logs of the scales of all holes and of the noise, as likely as they can be."""
        logs = self.before.clone().requires_grad_()
        search = LBFGS([logs], max_iter=STEPS, line_search_fn="strong_wolfe")

        def unlikely() -> Tensor:
            search.zero_grad()
            loss = self.unlikely(logs)
            loss.backward()
            return loss

        with torch.enable_grad():
            search.step(unlikely)
        # a step that leaves all numbers tells nothing: what was taken beforehand is kept
        return logs.detach() if bool(logs.isfinite().all()) else self.before

    def unlikely(self, logs: Float[Tensor, " settings"]) -> Float[Tensor, ""]:
        """How unlikely trials and settings are together, but for a constant."""
        scaled = self.seen * self._scales(logs)
        factor, pull = self._solved(_similar(scaled, scaled), logs[-1])
        likely = -0.5 * self.worth @ pull - factor.diagonal().log().sum()
        return 0.5 * ((logs - self.before) / SURE).square().sum() - likely

    def promise(self, found: Sequence[Choices]) -> Float[Tensor, " found"]:
        """By how much each is expected to be better than the best known one; larger is better."""
        similar = self._similar(self.table.rows(found), self.seen)
        mean = similar @ self.pull
        solver = cast(Any, torch.linalg.solve_triangular)
        known = cast(Tensor, solver(self.factor, similar.T, upper=False))
        deviation = (1.0 - known.square().sum(dim=0)).clamp_min(1e-9).sqrt()
        ahead = (mean - self.best) / deviation
        density = (-0.5 * ahead.square()).exp() / math.sqrt(2.0 * math.pi)
        below = cast(Tensor, cast(Any, torch.special).ndtr(ahead))
        return deviation * (ahead * below + density)


def _similar(
    one: Float[Tensor, "rows columns"], other: Float[Tensor, "others columns"]
) -> Float[Tensor, "rows others"]:
    squares = one.square().sum(dim=1)[:, None] + other.square().sum(dim=1)
    return (2.0 * one @ other.T - squares).clamp_max(0.0).exp()
