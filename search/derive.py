"""From a space to a memory: one pure function of the choices that somebody makes.

Optuna, a random generator, a replay and an enumeration are all choosers. The four slots of a memory
and the learning rate are chosen first, in a fixed order, whatever the rest is: so they are in every
trial and a sampler can model them together. Of every choice a chooser is told which options fit
what is chosen already; the memory as a whole is checked when all choices are made.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from miras.canonical import key
from miras.memory import Memory
from miras.part import IncompatibleParts, SpecError

from .choosers import Chooser as Chooser
from .choosers import FromChoices as FromChoices
from .choosers import FromRandom as FromRandom
from .choosers import FromTrial as FromTrial
from .choosers import Odometer
from .narrowing import Narrowing
from .nodes import (
    Choice,
    Fields,
    Fixed,
    Node,
    Number,
    Value,
    component,
    in_order,
    inner,
    label_of,
    shortened,
)
from .space import Space

SLOTS = ("architecture", "bias", "retention", "optimizer")
LEARNING_RATE = "learning_rate"
MOST_COUNTED = 20_000
"""Spaces of so many derivations or fewer are counted one by one."""

NUMBERS = 20
"""Numbers that are drawn until one fits what was chosen before."""

TRIES = 100
"""Draws after which a space is said to hold nothing that fits."""


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

    memory: Memory
    derivation: Derivation
    refused: tuple[Refusal, ...]


class Count(NamedTuple):
    """How many memories a space holds; `valid` and `different` are None where nobody counted."""

    derivations: int
    continuous: bool
    valid: int | None = None
    different: int | None = None
    refused: Mapping[str, int] = {}


class _Recorder:
    """Passes questions on with what fits, and keeps the answers."""

    def __init__(self, chooser: Chooser, root: Node, narrow: bool) -> None:
        self.chooser = chooser
        self.choices: dict[str, Value] = {}
        self.narrowing = Narrowing(root) if narrow else None

    def pick(self, name: str, options: tuple[str, ...]) -> str:
        name = shortened(name)
        fitting = self.narrowing.fitting(name, options) if self.narrowing else options
        return str(self._keep(name, self.chooser.pick(name, options, fitting)))

    def number(self, name: str, among: Number) -> int | float:
        name = shortened(name)
        value = self.chooser.number(name, among)
        if self.narrowing and name != LEARNING_RATE and not self.narrowing.refused:
            for _ in range(NUMBERS):
                if not self.narrowing.objection(name, value):
                    break
                value = self.chooser.number(name, among)
        self._keep(name, value)
        return value

    def _keep(self, name: str, value: Value) -> Value:
        self.choices[name] = value
        if self.narrowing and name != LEARNING_RATE:
            self.narrowing.decide(name, value)
        return value


def derive(
    space: Space, chooser: Chooser, rates: Number | None = None, narrow: bool = True
) -> Derivation:
    """The spec that a chooser makes of a space; with `rates` it chooses a learning rate too.

    Without `narrow` all options count as fitting.
    """
    asked = _Recorder(chooser, space.root, narrow)
    root, prefix = space.root, ""
    if isinstance(root, Choice):
        label, root = _pick(root, "memory", asked)
        prefix = f"memory.{component(label)}."
    entries: Mapping[str, Node] = root.entries if isinstance(root, Fields) else {}
    heads = {slot: _pick(entries[slot], prefix + slot, asked) for slot in SLOTS if slot in entries}
    rate = float(asked.number(LEARNING_RATE, rates)) if rates else None
    spec: dict[str, Any] = dict(root.value) if isinstance(root, Fixed) else {}
    for field, node in entries.items():
        label, node = heads.get(field, ("", node))
        spec[field] = _build(node, prefix + field, label, asked)
    return Derivation(asked.choices, spec, rate)


def _pick(node: Node, name: str, asked: _Recorder) -> tuple[str, Node]:
    """The option that is chosen, with its name; a node without options is itself."""
    if not isinstance(node, Choice):
        return label_of(node), node
    label = asked.pick(name, tuple(node.options))
    return label, node.options[label]


def _build(node: Node, name: str, label: str, asked: _Recorder) -> Any:
    """The value of a node whose own option is already chosen."""
    match node:
        case Fixed(value):
            return value
        case Number():
            return asked.number(inner(name, label), node)
        case Choice():
            label, option = _pick(node, name, asked)
            return _build(option, name, label, asked)
        case Fields(_, entries):
            inside = inner(name, label)
            found = {
                field: _build(entry, f"{inside}.{field}", label_of(entry), asked)
                for field, entry in in_order(entries)
            }
            return {field: found[field] for field in entries}


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


def build(spec: Mapping[str, Any]) -> Memory | Refusal:
    """The memory that a spec describes, or why the grammar refuses it."""
    try:
        return Memory.model_validate(spec)
    except ValidationError as error:
        first = error.errors()[0]
        sentence = first["msg"].removeprefix("Value error, ")
        if isinstance(first.get("ctx", {}).get("error"), IncompatibleParts):
            sentence, _, rule = sentence.rpartition(" [")
            return Refusal(rule.removesuffix("]"), sentence)
        return Refusal("settings of " + ".".join(map(str, first["loc"])), sentence)


def draw(space: Space, generator: np.random.Generator, tries: int = TRIES) -> Drawn:
    """A random memory of a space: every option that fits is as likely as any other.

    What cannot be foreseen is drawn again, at most `tries` times. Raises SpecError after that.
    """
    refused: list[Refusal] = []
    while len(refused) < tries:
        found = derive(space, FromRandom(generator))
        memory = build(found.spec)
        if isinstance(memory, Memory):
            return Drawn(memory, found, tuple(refused))
        refused.append(memory)
    rules = ", ".join(dict.fromkeys(each.rule for each in refused))
    raise SpecError(
        f"{tries} draws from space {space.name} were all refused ({rules}): use fewer choices that"
        " exclude each other, such as one architecture with the optimizers that fit it"
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
