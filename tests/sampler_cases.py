"""Trees of choices, and a search of them in which nothing is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from pydantic import TypeAdapter

from miras.search.proposing.ground import Choices, Ground, written
from miras.search.proposing.history import Past, frozen
from miras.search.proposing.proposing import Proposal, Rejection, propose
from miras.search.sampler import AnySampler, Sampler
from miras.search.space.choosers import Chooser
from miras.search.space.derive import derive
from miras.search.space.nodes import Choice, Fields, Fixed, Number
from miras.search.space.space import Space

UP = StudyDirection.MAXIMIZE


def ground(root: Any, candidates: int = 10_000) -> Ground:
    space = Space("tree", root, {})

    def choices(chooser: Chooser, narrow: bool) -> Choices:
        return derive(space, chooser, narrow=False).choices

    return Ground(root, choices, candidates)


def options(*names: str) -> Choice:
    return Choice({name: Fixed(name) for name in names})


PLAIN = Fields("", {name: options("a", "b", "c", "d") for name in ("one", "two", "three", "four")})
TALL = Fields(
    "",
    {
        "loss": Choice(
            {
                name: Fields(
                    name,
                    {
                        "share": Number(0.0, 1.0),
                        "taps": Number(1, 8, whole=True),
                        "form": Choice({"x": Fields("x", {"y": options("p", "q")}), "z": Fixed(1)}),
                    },
                )
                for name in ("bad0", "bad1", "good0", "good1")
            }
        ),
        "scale": Number(1e-4, 1e-1, log=True),
        "norm": options("l1", "l2"),
    },
)

Values = tuple[float, ...] | None


def sampler(kind: str | dict[str, Any]) -> Sampler:
    return TypeAdapter[Sampler](AnySampler).validate_python(kind)


def search(
    kind: str | dict[str, Any],
    on: Ground,
    trials: int,
    value: Callable[[Choices], Values],
    seed: int = 0,
    directions: Sequence[str] = ("maximize",),
) -> list[tuple[Choices, Values]]:
    """What a sampler proposes, until it finds nothing new."""
    found: list[tuple[Choices, Values]] = []
    past: list[FrozenTrial] = []
    for number in range(trials):
        taken: list[Choices] = []

        def take(proposal: Proposal, taken: list[Choices] = taken) -> Rejection | None:
            taken.append(proposal.choices)
            return None

        arm = sampler(kind).arm(number, on)
        seen = {written(choices) for choices, _ in found}
        if not propose(on, arm, Past(past, 0, seen), directions, (seed, number), take):
            break
        values = value(taken[0])
        past.append(frozen(on, taken[0], values, bad="" if values else "diverged"))
        found.append((taken[0], values))
    return found


def alike(choices: Choices) -> Values:
    """A value for each derivation of `PLAIN`."""
    return (sum("abcd".index(str(choice)) for choice in choices.values()) / 12,)


def diverging(choices: Choices) -> Values:
    """Nothing where the loss is bad, else better with a small scale."""
    if str(choices["loss"]).startswith("bad"):
        return None
    return (-np.log(float(choices["scale"])),)
