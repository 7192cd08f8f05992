"""What a sampler searches: a tree of choices, whatever is made of them.

Samplers know neither memories nor studies. They see who chose what and how it went, and they let a
chooser go through the tree.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from ..space.asking import LEARNING_RATE
from ..space.choosers import Chooser, Fitting, FromChoices
from ..space.nodes import Choice, Node, Number, Value, size, walk

Choices = Mapping[str, Value]


@dataclass(frozen=True)
class Ground:
    """A tree of choices; `derive` lets a chooser go through it and gives what was chosen.

    With `narrow` the chooser is told which options fit what is chosen already.
    """

    root: Node
    derive: Callable[[Chooser, bool], Choices]
    candidates: int
    """Proposals that the whole search may make."""
    rates: Number | None = None
    """A number that every derivation has beside the tree."""
    kept: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)
    """What a sampler has worked out of the tree and need not work out again."""

    @cached_property
    def size(self) -> int:
        """Derivations, a real number counted as one."""
        return size(self.root)

    @property
    def continuous(self) -> bool:
        """Whether a real number is among the choices."""
        return self.rates is not None or any(
            isinstance(node, Number) and not node.whole for node in walk(self.root)
        )

    @property
    def holes(self) -> tuple[int, int]:
        """How many numbers and how many choices among names the tree has."""
        found = list(walk(self.root))
        numbers = sum(isinstance(node, Number) for node in found) + (self.rates is not None)
        return numbers, sum(isinstance(node, Choice) for node in found)

    def distributions(self, choices: Choices) -> dict[str, BaseDistribution]:
        """What each of these choices was made from."""
        replay = _Distributions(choices)
        self.derive(replay, False)
        return replay.found


class _Distributions(FromChoices):
    """Replays choices and notes from what each was chosen."""

    def __init__(self, choices: Choices) -> None:
        super().__init__(choices)
        self.found: dict[str, BaseDistribution] = {}

    def pick(self, name: str, options: tuple[str, ...], fitting: Fitting) -> str:
        self.found[name] = CategoricalDistribution(options)
        return super().pick(name, options, fitting)

    def number(self, name: str, among: Number) -> int | float:
        if among.whole:
            self.found[name] = IntDistribution(int(among.low), int(among.high))
        else:
            self.found[name] = FloatDistribution(among.low, among.high, log=among.log)
        return super().number(name, among)


class Exhausted(Exception):
    """A sampler has no more proposals."""


class Whole(BaseSampler):
    """A sampler that proposes all choices of a trial at once."""

    def __init__(
        self, ground: Ground, propose: Callable[[Study, list[FrozenTrial]], Choices]
    ) -> None:
        self.ground, self.propose = ground, propose
        self.choices: Choices = {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self.choices = self.propose(study, study.get_trials(deepcopy=False)[: trial.number])
        return self.ground.distributions(self.choices)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {name: self.choices[name] for name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise AssertionError(f"asked for {param_name}, which is in no derivation: a bug in miras")

    def reseed_rng(self) -> None:
        """Nothing to do: every proposal has a seed of its own."""


def written(choices: Choices) -> str:
    """Choices as a text by which they can be found again, in whatever order they were made.

    The learning rate is left out: a memory is not tried again at another one.
    """
    tree = {name: value for name, value in choices.items() if name != LEARNING_RATE}
    return json.dumps(tree, sort_keys=True)
