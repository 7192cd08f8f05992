"""Derivations as rows of numbers, of which few are not 0."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Tensor

from miras.statistics.untyped import sparse

from .ground import Choices


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

    def rows(self, found: Sequence[Choices]) -> "Rows":
        """Choices as rows; what no trial has chosen is left out."""
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        for row, choices in enumerate(found):
            for name, value in choices.items():
                column = self.columns.get((name, value))  # of a choice
                if column is not None:
                    share = math.sqrt(0.5)  # two different options are 1 apart
                else:
                    column = self.columns.get((name, None))  # of a number
                    if column is None:
                        continue
                    share = _place(float(value), self.distributions[name]) - 0.5
                rows.append(row)
                columns.append(column)
                values.append(share)
        where = np.array([rows, columns], dtype=np.int64).reshape(2, -1)
        order = np.lexsort((where[1], where[0]))
        known = torch.tensor(values, dtype=torch.float64)[order]
        return Rows(torch.from_numpy(where[:, order]), known, (len(found), len(self.holes)))


class Rows(NamedTuple):
    """Rows of numbers of which few are not 0: a derivation asks few of all holes."""

    where: Int[Tensor, "2 values"]
    """Row and column of each, in their order."""
    values: Float[Tensor, " values"]
    size: tuple[int, int]

    def scaled(self, by: Float[Tensor, " columns"]) -> "Rows":
        """Each column times a number of its own."""
        return self._replace(values=self.values * by[self.where[1]])

    def turned(self) -> "Rows":
        """Columns as rows, in an order that is theirs."""
        order = (self.where[1] * self.size[0] + self.where[0]).argsort()
        return Rows(self.where.flip(0)[:, order], self.values[order], (self.size[1], self.size[0]))

    def times(self, other: Float[Tensor, "columns others"]) -> Float[Tensor, "rows others"]:
        """The product with a matrix."""
        rows, columns = self.where.numpy()
        ends = np.searchsorted(rows, np.arange(self.size[0] + 1))
        own = sparse.csr_array((self.values.numpy(), columns, ends), shape=self.size)
        return torch.from_numpy(own @ other.numpy())  # in PyTorch it takes twice as long

    def full(self) -> Float[Tensor, "rows columns"]:
        """With all their zeros."""
        return self.values.new_zeros(self.size).index_put((*self.where,), self.values)

    def squares(self) -> Float[Tensor, " rows"]:
        """The squared length of each row."""
        none = self.values.new_zeros(self.size[0])
        return none.index_add(0, self.where[0], self.values.square())


class Seen(NamedTuple):
    """Rows that others are compared with, and their columns."""

    rows: Rows
    columns: Rows

    def scaled(self, by: Float[Tensor, " columns"]) -> "Seen":
        """Each column times a number of its own."""
        columns = self.columns
        turned = columns._replace(values=columns.values * by[columns.where[0]])
        return Seen(self.rows.scaled(by), turned)

    def near(self, others: Rows) -> Float[Tensor, "others rows"]:
        """How near each of them is to others: 1 for equal ones, 0 far away."""
        apart = others.squares()[:, None] + self.rows.squares()
        return (2.0 * others.times(self.columns.full()) - apart).clamp_max(0.0).exp()


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
