"""From a space to a memory: one pure function of the choices that somebody makes.

Optuna, a random generator, a replay and an enumeration are all choosers. Which memories there are,
their four slots and the learning rate are chosen first, in a fixed order, whatever the rest is: so
a sampler can model them together. Of every choice a chooser is told which options fit what is
chosen already in the same memory; what is made of it is checked when all choices are made.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from miras.canonical import key
from miras.composition import AnyCell
from miras.memory import Memory
from miras.part import IncompatibleParts, SpecError
from miras.stack import Stack

from .asking import CELLS, MEMORY, Asked, ask
from .asking import LEARNING_RATE as LEARNING_RATE
from .choosers import Chooser as Chooser
from .choosers import FromChoices as FromChoices
from .choosers import FromRandom as FromRandom
from .choosers import FromTrial as FromTrial
from .choosers import Odometer
from .nodes import (
    Choice,
    Fields,
    Fixed,
    Items,
    Mutation,
    Node,
    Number,
    Value,
    inner,
    joined,
    label_of,
    shortened,
)
from .space import Space

MOST_COUNTED = 20_000
"""Spaces of so many derivations or fewer are counted one by one."""

TRIES = 100
"""Draws after which a space is said to hold nothing that fits."""


Candidate = AnyCell | Stack
"""What is searched for: a memory, a composition, or the memories of a stack of layers."""


class Derivation(NamedTuple):
    """What was chosen, by parameter name, and what came of it."""

    choices: dict[str, Value]
    spec: dict[str, Any]
    learning_rate: float | None


class Refusal(NamedTuple):
    """Why a spec is no memory: the rule of the grammar, and its sentence."""

    rule: str
    sentence: str


class Drawn(NamedTuple):
    """A random memory, what was chosen, and what was drawn and refused before it."""

    memory: Candidate
    derivation: Derivation
    refused: tuple[Refusal, ...]


class Count(NamedTuple):
    """How many memories a space holds; `valid` and `different` are None where nobody counted."""

    derivations: int
    continuous: bool
    valid: int | None = None
    different: int | None = None
    refused: Mapping[str, int] = {}


def derive(
    space: Space, chooser: Chooser, rates: Number | None = None, narrow: bool = True
) -> Derivation:
    """The spec that a chooser makes of a space; with `rates` it chooses a learning rate too.

    Without `narrow` all options count as fitting.
    """
    return fill(space, Asked(chooser, narrow), rates)


def chosen(
    space: Space, chooser: Chooser, rates: Number | None = None, narrow: bool = True
) -> dict[str, Value]:
    """The choices of `derive`, without what they make."""
    asked = Asked(chooser, narrow)
    ask(space.root, asked, rates)
    return asked.choices


def fill(space: Space, asked: Asked, rates: Number | None = None) -> Derivation:
    """The spec that comes of the answers to all that is asked."""
    ask(space.root, asked, rates)
    rate = float(asked.choices[LEARNING_RATE]) if rates else None
    return Derivation(asked.choices, dict(_made(space.root, "", "", asked)), rate)


def _made(node: Node, name: str, label: str, asked: Asked) -> Any:
    """What the answers make of a node."""
    match node:
        case Fixed(value):
            return value
        case Number():
            return asked.choices[shortened(inner(name, label))]
        case Choice(options):
            at = name or MEMORY
            picked = str(asked.choices[shortened(at)])
            return _made(options[picked], at, picked, asked)
        case Fields(_, entries):
            inside = inner(name, label)
            return {
                field: _made(entry, joined(inside, field), own, asked)
                for field, entry in entries.items()
                for own in [label_of(entry) if field not in CELLS else ""]
            }
        case Items(_, entries):
            inside = inner(name, label)
            return [_made(each, joined(inside, i), "", asked) for i, each in enumerate(entries)]
        case Mutation():
            inside = inner(name, label)
            return _made(asked.changed[inside], inside, "", asked)


def derivations(space: Space) -> Iterator[Derivation]:
    """Every derivation once, in a fixed order; real numbers stand at the middle of their range."""
    start: list[int] = []
    while True:
        odometer = Odometer(start)
        yield derive(space, odometer, narrow=False)
        dials = odometer.dials
        while dials and dials[-1][0] + 1 == dials[-1][1]:
            dials.pop()
        if not dials:
            return
        start = [position for position, _ in dials]
        start[-1] += 1


def build(spec: Mapping[str, Any]) -> Candidate | Refusal:
    """What a spec describes, or why the grammar refuses it."""
    try:
        if "pattern" in spec:
            return Stack.model_validate(spec)
        return _CELL.validate_python(spec) if "compose" in spec else Memory.model_validate(spec)
    except ValidationError as error:
        return _refusal(error)


CELL_TYPE: Any = AnyCell
_CELL: TypeAdapter[AnyCell] = TypeAdapter(AnyCell)


def _refusal(error: ValidationError) -> Refusal:
    first = error.errors()[0]
    sentence = first["msg"].removeprefix("Value error, ")
    where = [str(step) for step in first["loc"] if step not in ("cell", "composition")]
    if isinstance(first.get("ctx", {}).get("error"), IncompatibleParts):
        inside, _, rule = sentence.rpartition(" [")
        if rule.endswith("]"):
            return Refusal(rule.removesuffix("]"), inside)
    return Refusal("settings of " + ".".join(where), sentence)


def draw(space: Space, generator: np.random.Generator, tries: int = TRIES) -> Drawn:
    """A random memory of a space: every option that fits is as likely as any other.

    What cannot be foreseen is drawn again, at most `tries` times. Raises SpecError after that.
    """
    refused: list[Refusal] = []
    while len(refused) < tries:
        found = derive(space, FromRandom(generator))
        memory = build(found.spec)
        if not isinstance(memory, Refusal):
            return Drawn(memory, found, tuple(refused))
        refused.append(memory)
    reasons = {each.rule: each.sentence for each in refused}.values()
    raise SpecError(
        f"{tries} draws from space {space.name} were all refused: use fewer choices that exclude"
        " each other, such as one architecture with the optimizers that fit it. What was said: "
        + "; ".join(reasons)
    )


def count(space: Space, most: int = MOST_COUNTED) -> Count:
    """How many derivations there are and, where they are at most `most`, how many are memories."""
    if space.size > most:
        return Count(space.size, space.continuous)
    keys: set[str] = set()
    refused: dict[str, int] = {}
    valid = 0
    for derivation in islice(derivations(space), most):
        found = build(derivation.spec)
        if isinstance(found, Refusal):
            refused[found.rule] = refused.get(found.rule, 0) + 1
        else:
            valid += 1
            keys.add(key(found))
    return Count(space.size, space.continuous, valid, len(keys), refused)
