"""Choosers: who fills the holes of a space."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from optuna import Trial

from miras.part import SpecError

from .nodes import Number, Value


class Narrows(Protocol):
    """What knows which options fit."""

    def fits(self, name: str, option: str) -> bool:
        """Whether nothing objects to an option of a hole."""
        ...

    def fitting(self, name: str, options: Sequence[str]) -> tuple[str, ...]:
        """The options to which nothing objects; all of them if something objects to each."""
        ...


class Fitting:
    """The options that fit what was chosen before, all if none does; each asked about when needed.

    To ask about one option may mean to look far ahead: who wants one of them does not pay for all.
    """

    def __init__(
        self, options: tuple[str, ...], narrows: Narrows | None = None, name: str = ""
    ) -> None:
        self.options, self.narrows, self.name = options, narrows, name

    @cached_property
    def all(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return self.narrows.fitting(self.name, self.options) if self.narrows else self.options

    def __contains__(self, option: str) -> bool:
        if option not in self.options:
            return False
        return self._fits(option) or (not any(map(self._fits, self.options)) and option in self.all)

    def draw(
        self,
        generator: np.random.Generator,
        weights: Mapping[str, float] | None = None,
        without: Value | None = None,
    ) -> str:
        """One of those that fit, by weight or alike; another one than `without` if there is one.

        Options are drawn without replacement until one fits: as likely as if all were known.
        """
        left = [option for option in self.options if option != without]
        while left:
            drawn = _any(left, generator, weights)
            if self._fits(drawn):
                return drawn
            left.remove(drawn)
        return _any(self.all, generator, weights)

    def _fits(self, option: str) -> bool:
        return self.narrows is None or self.narrows.fits(self.name, option)


@runtime_checkable
class Chooser(Protocol):
    """Somebody who decides. Names and options never depend on who it is."""

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        """One of at least two options; those that are not `fitting` would be refused."""
        ...

    def number(self, name: str, among: Number) -> int | float:
        """A number between two ends."""
        ...


@runtime_checkable
class Weighing(Protocol):
    """A chooser that heeds the weights of a space: chance, wherever it decides."""

    def weigh(
        self,
        name: str,
        options: tuple[str, ...],
        fitting: Fitting,
        weights: Mapping[str, float],
    ) -> str:
        """One of the options that fit; those of twice the weight twice as often."""
        ...


class FromTrial:
    """Optuna decides; where its choice does not fit, chance takes one that does.

    Optuna needs the same options for a name in every trial. What it sees of a trial afterwards is
    what was taken.
    """

    def __init__(self, trial: Trial, seed: int | None = None) -> None:
        self.trial = trial
        self.generator = np.random.default_rng(trial.number if seed is None else seed)

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        return self.weigh(name, options, fitting, {})

    def weigh(
        self,
        name: str,
        options: tuple[str, ...],
        fitting: Fitting,
        weights: Mapping[str, float],
    ) -> str:
        """What Optuna suggests, whatever the weights; they count where chance replaces it."""
        chosen = str(self.trial.suggest_categorical(name, options))
        return chosen if chosen in fitting else fitting.draw(self.generator, weights)

    def number(self, name: str, among: Number) -> int | float:
        if among.whole:
            return self.trial.suggest_int(name, int(among.low), int(among.high))
        return self.trial.suggest_float(name, among.low, among.high, log=among.log)


class FromRandom:
    """Options that fit by weight or alike, numbers uniform, with log uniform in the logarithm."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        return fitting.draw(self.generator)

    def weigh(
        self,
        name: str,
        options: tuple[str, ...],
        fitting: Fitting,
        weights: Mapping[str, float],
    ) -> str:
        return fitting.draw(self.generator, weights)

    def number(self, name: str, among: Number) -> int | float:
        if among.whole:
            return int(self.generator.integers(int(among.low), int(among.high) + 1))
        return among.between(self.generator.random())


class FromChoices:
    """What was chosen before is chosen again. Raises SpecError where the space has changed."""

    def __init__(self, choices: Mapping[str, Value]) -> None:
        self.choices = choices

    def _recorded(self, name: str, fits: bool) -> None:
        if not fits:
            given = repr(self.choices[name]) if name in self.choices else "nothing"
            raise SpecError(
                f"the record has {given} for {name}, which this space does not offer: use the space"
                " with which it was made"
            )

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        self._recorded(name, self.choices.get(name) in options)
        return str(self.choices[name])

    def number(self, name: str, among: Number) -> int | float:
        value = self.choices.get(name)
        known = isinstance(value, int | float)
        self._recorded(name, known and among.low <= value <= among.high)
        return self.choices[name]  # pyright: ignore[reportReturnType] - a number, as just seen


class Odometer:
    """Goes through all that fits; a real number stands at the middle of its range."""

    def __init__(self, start: list[int]) -> None:
        self.start = start
        self.dials: list[tuple[int, int]] = []  # position and number of positions

    def _turn(self, positions: int) -> int:
        depth = len(self.dials)
        position = self.start[depth] if depth < len(self.start) else 0
        self.dials.append((position, positions))
        return position

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        return fitting.all[self._turn(len(fitting.all))]

    def number(self, name: str, among: Number) -> int | float:
        if among.whole:
            return int(among.low) + self._turn(int(among.high - among.low) + 1)
        return among.middle


def _any(
    options: Sequence[str],
    generator: np.random.Generator,
    weights: Mapping[str, float] | None = None,
) -> str:
    if not weights:
        return options[int(generator.integers(len(options)))]
    shares = np.array([weights.get(option, 1.0) for option in options])
    return options[int(generator.choice(len(options), p=shares / shares.sum()))]
