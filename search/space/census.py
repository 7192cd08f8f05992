"""What a space holds, in numbers: behind `miras space`.

What counts as one structure, and how structures are counted, is said in `counting`.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from statistics import fmean, stdev
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from miras.canonical import key, stacked
from miras.known import known
from miras.load import dump
from miras.memory import Memory

from ..proposing.planner import describe
from .asking import is_memory
from .census_page import percent
from .census_page import summary as summary
from .census_page import text as text
from .counting import Division, Tick, divide, likely, within
from .derive import (
    Candidate,
    Drawn,
    FromChoices,
    Refusal,
    build,
    derivations,
    derive,
    draw,
    fill,
)
from .descent import Descent
from .inverse import placed
from .nodes import Fields, Fixed, Mutation, Node, walk
from .space import Space
from .tally import tally

LIMIT = 2_000
"""Memories that are built to be compared. An estimate takes a tenth of that many descents."""

STRUCTURE = (
    "A structure is one way to fill the holes: kinds, options and whole numbers count each, a real"
    " number counts as one, at the middle of its range."
)
ONE_BY_ONE = 10
"""Times so many memories as are compared may be built where nothing tells beforehand what fits."""

COUNTED = "counted one by one"
EXACT = "counted exactly: rules were tried on the holes that they ask for, all others multiplied"
ESTIMATE = (
    "estimated from {descents} random descents that leave out what cannot fit, weighted by what"
    " they left out (Knuth 1975), with a 95 % interval; {accepted} of them ended in a memory"
)


class Rule(BaseModel):
    """What one rule refuses."""

    rule: str
    structures: int
    share: float  # of all structures
    sentence: str


class Census(BaseModel):
    """What a space holds."""

    space: str
    structure: str = STRUCTURE
    structures: int
    continuous: bool
    method: Literal["exact", "estimate"]
    said: str
    well_typed: float  # a whole number if the count is exact
    interval: tuple[float, float]
    bounds: tuple[int, int]  # certain, whatever the estimate
    refused: float  # share of all structures
    rules: tuple[Rule, ...]
    unattributed: float  # share that was not divided to the end, and so belongs to no rule yet
    built: int
    all_built: bool
    different: int  # normal forms among the memories that were built
    equal_to_known: int  # of those
    known: tuple[str, ...]  # known memories that the space contains, as written or in normal form
    known_of: int


def census(space: Space, limit: int = LIMIT, seed: int = 0, tick: Tick = lambda _: None) -> Census:
    """Count a space; the same seed gives the same numbers."""
    dice = random.Random(seed)
    if not is_memory(space.root):
        return _mixed(space, limit, dice, tick)
    found = divide(space.root, tick=lambda done: tick(done / 2))
    if found.open:
        well, interval, accepted, descents = _estimate(space, max(2, limit // 10), dice, tick)
        memories, everything, said = accepted, False, ESTIMATE
        said = ESTIMATE.format(descents=descents, accepted=len(accepted))
    else:
        well, interval, said = found.well_typed, (found.well_typed, found.well_typed), EXACT
        everything = found.well_typed <= limit
        memories = _memories(space, found, limit, dice, tick)
    return _census(
        space,
        memories,
        everything,
        method="estimate" if found.open else "exact",
        said=said,
        well_typed=well,
        interval=interval,
        bounds=(found.well_typed, found.well_typed + found.left),
        rules=_rules(space, found.refused, found.sentences),
        unattributed=found.left / space.size,
    )


def _census(
    space: Space, built: Sequence[Candidate], everything: bool, well_typed: float, **about: Any
) -> Census:
    """With what the memories that were built have in common with known ones."""
    names = {key(memory): name for name, memory in known().items()}
    keys = [key(stacked(memory)) for memory in built]
    inside = {name for name, memory in known().items() if placed(space.root, memory) is not None}
    return Census(
        space=space.name,
        structures=space.size,
        continuous=space.continuous,
        well_typed=well_typed,
        refused=1 - well_typed / space.size,
        built=len(built),
        all_built=everything,
        different=len(set(keys)),
        equal_to_known=sum(each in names for each in keys),
        known=tuple(sorted({*inside, *(names[each] for each in keys if each in names)})),
        known_of=len(names),
        **about,
    )


def _rules(
    space: Space, refused: Mapping[str, int], sentences: Mapping[str, str]
) -> tuple[Rule, ...]:
    return tuple(
        Rule(rule=rule, structures=n, share=n / space.size, sentence=sentences[rule])
        for rule, n in sorted(refused.items(), key=lambda each: -each[1])
    )


def _mixed(space: Space, limit: int, dice: random.Random, tick: Tick) -> Census:
    """A space of compositions, patterns or changes: all are built, or some by chance."""
    refused: Counter[str] = Counter()
    sentences: dict[str, str] = {}
    memories: list[Candidate] = []
    if space.size <= ONE_BY_ONE * limit:
        for number, each in enumerate(derivations(space)):
            made = build(each.spec)
            if isinstance(made, Refusal):
                refused[made.rule] += 1
                sentences.setdefault(made.rule, made.sentence)
            else:
                memories.append(made)
            tick(number / space.size)
        well = float(len(memories))
        return _census(
            space, memories, True, well, method="exact", said=COUNTED, interval=(well, well),
            bounds=(len(memories), len(memories)), rules=_rules(space, refused, sentences),
            unattributed=0.0,
        )  # fmt: skip
    counted = tally(space.root)
    refused, sentences = Counter(counted.refused), dict(counted.sentences)
    descents, shares = max(2, limit // 10), list[float]()
    for number in range(descents):
        descent = Descent(dice)
        made = build(fill(space, descent).spec)
        shares.append(0.0 if isinstance(made, Refusal) else descent.weight)
        if isinstance(made, Refusal):
            refused[made.rule] += int(Fraction(descent.weight) * space.size / descents)
            sentences.setdefault(made.rule, made.sentence)
        else:
            memories.append(made)
        tick(number / descents)
    middle, half = fmean(shares), 1.959964 * stdev(shares) / math.sqrt(descents)
    low, high = max(0.0, middle - half) * space.size, (middle + half) * space.size
    if not counted.open and not any(_composes(node) for node in walk(space.root)):
        well = float(counted.well_typed)  # cells of a stack do not know of each other
        return _census(
            space, memories, False, well, method="exact", said=EXACT, interval=(well, well),
            bounds=(counted.well_typed, counted.well_typed),
            rules=_rules(space, counted.refused, counted.sentences), unattributed=0.0,
        )  # fmt: skip
    known_refusals = min(refused.total() / space.size, 1 - middle)
    return _census(
        space, memories, False, middle * space.size, method="estimate",
        said=ESTIMATE.format(descents=descents, accepted=len(memories)), interval=(low, high),
        bounds=(0, space.size - counted.refused.total()), rules=_rules(space, refused, sentences),
        unattributed=1 - middle - known_refusals,
    )  # fmt: skip


def _estimate(
    space: Space, descents: int, dice: random.Random, tick: Tick
) -> tuple[float, tuple[float, float], list[Memory], int]:
    """Well-typed structures, with an interval, and the memories that were met."""
    shares: list[float] = []
    memories: list[Memory] = []
    for number in range(descents):
        choices, weight = likely(space.root, dice)
        memory = build(derive(space, FromChoices(choices), narrow=False).spec)
        shares.append(weight if isinstance(memory, Memory) else 0.0)
        memories += [memory] if isinstance(memory, Memory) else []
        tick(0.5 + number / descents / 2)
    middle, half = fmean(shares), 1.959964 * stdev(shares) / math.sqrt(descents)
    low, high = max(0.0, middle - half), middle + half
    return middle * space.size, (low * space.size, high * space.size), memories, descents


def _memories(
    space: Space, found: Division, limit: int, dice: random.Random, tick: Tick
) -> list[Memory]:
    """All memories of a space, or `limit` of them, each as likely as any other."""
    if found.well_typed <= limit and space.size <= 50 * limit:
        specs = (each.spec for each in derivations(space))
        return [memory for memory in map(build, specs) if isinstance(memory, Memory)]
    memories: list[Memory] = []
    drawn = within(space.root, found.regions, dice)
    for number, choices in zip(range(limit), drawn, strict=False):
        memory = build(derive(space, FromChoices(choices), narrow=False).spec)
        if not isinstance(memory, Memory):
            why = memory.sentence if isinstance(memory, Refusal) else "no single memory"
            raise AssertionError(f"counted as well typed, and refused: {why}")
        memories.append(memory)
        tick(0.5 + number / limit / 2)
    return memories


def _composes(node: Node) -> bool:
    match node:
        case Fields(_, entries):
            return "compose" in entries
        case Fixed(value):
            return isinstance(value, dict) and "compose" in value
        case _:
            return isinstance(node, Mutation)


def sample(space: Space, count: int, seed: int = 0, tick: Tick = lambda _: None) -> list[Drawn]:
    """Random memories of a space; the same seed gives the same."""
    generator = np.random.default_rng(seed)
    found: list[Drawn] = []
    for number in range(count):
        found.append(draw(space, generator))
        tick((number + 1) / count)
    return found


def documents(drawn: Sequence[Drawn]) -> str:
    """Memories as YAML, one document each, and how many draws it took."""
    refused = Counter(refusal.rule for each in drawn for refusal in each.refused)
    draws = len(drawn) + refused.total()
    rules = ", ".join(f"{rule} {count}" for rule, count in refused.most_common())
    share = percent(refused.total() / draws) if draws else "0 %"
    memories = "1 memory" if len(drawn) == 1 else f"{len(drawn)} memories"
    first = f"{memories} from {draws} draw{'s' * (draws != 1)}; {share} refused"
    head = wrap(first + (f": {rules}" if rules else ""), 98)
    texts = [dump(each.memory.model_copy(update={"name": describe(each.memory)})) for each in drawn]
    return "\n".join(f"# {line}" for line in head) + "\n" + "---\n".join(texts)
