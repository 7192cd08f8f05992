"""What a space holds, in numbers: behind `miras space`.

What counts as one structure, and how structures are counted, is said in `counting`.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from miras.canonical import key, normal
from miras.known import cells
from miras.load import dump
from miras.memory import Memory
from miras.part import Part

from .counting import Division, Share, Tick, divide, likely, within
from .derive import Drawn, FromChoices, Refusal, build, derivations, derive, draw
from .nodes import Choice, Fields, Fixed, Node, Number
from .opening import TITLES, type_of
from .planner import describe
from .space import Space

LIMIT = 2_000
"""Memories that are built to be compared. An estimate takes a tenth of that many descents."""

STRUCTURE = (
    "A structure is one way to fill the holes: kinds, options and whole numbers count each, a real"
    " number counts as one, at the middle of its range."
)
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
    found = divide(space.root, tick=lambda done: tick(done / 2))
    if found.open:
        well, interval, accepted, descents = _estimate(space, max(2, limit // 10), dice, tick)
        memories, everything, said = accepted, False, ESTIMATE
        said = ESTIMATE.format(descents=descents, accepted=len(accepted))
    else:
        well, interval, said = found.well_typed, (found.well_typed, found.well_typed), EXACT
        everything = found.well_typed <= limit
        memories = _memories(space, found, limit, dice, tick)
    names = {key(memory): name for name, memory in cells().items()}
    keys = [key(memory) for memory in memories]
    inside = tuple(name for name, memory in cells().items() if _inside(space.root, memory))
    return Census(
        space=space.name,
        structures=space.size,
        continuous=space.continuous,
        method="estimate" if found.open else "exact",
        said=said,
        well_typed=well,
        interval=interval,
        bounds=(found.well_typed, found.well_typed + found.left),
        refused=1 - well / space.size,
        rules=tuple(
            Rule(rule=rule, structures=n, share=n / space.size, sentence=found.sentences[rule])
            for rule, n in found.refused.items()
        ),
        unattributed=found.left / space.size,
        built=len(memories),
        all_built=everything,
        different=len(set(keys)),
        equal_to_known=sum(each in names for each in keys),
        known=tuple(sorted({*inside, *(names[each] for each in keys if each in names)})),
        known_of=len(names),
    )


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
        if isinstance(memory, Refusal):
            raise AssertionError(f"counted as well typed, and refused: {memory.sentence}")
        memories.append(memory)
        tick(0.5 + number / limit / 2)
    return memories


def _inside(root: Node, memory: Memory) -> bool:
    return holds(root, memory, Memory) or holds(root, normal(memory).memory, Memory)


def holds(node: Node, value: Any, wanted: Any) -> bool:
    """Whether a node can become a value; of a part every setting counts, titles do not."""
    match node:
        case Fixed():
            return _untitled(node.read(wanted)) == _untitled(value)
        case Number(low, high, whole=whole):
            number = isinstance(value, int if whole else int | float)
            return number and not isinstance(value, bool) and low <= value <= high
        case Choice(options):
            return any(holds(option, value, wanted) for option in options.values())
        case Fields(_, entries):
            kind = entries.get("kind")
            named = kind.value if isinstance(kind, Fixed) else None
            if not isinstance(value, Part) or getattr(value, "kind", None) != named:
                return False
            return all(
                holds(entries[name], getattr(value, name), type_of(field))
                if name in entries
                else getattr(value, name) == field.get_default()
                for name, field in type(value).model_fields.items()
                if name not in TITLES and name != "kind"
            )


def _untitled(value: Any) -> Any:
    if not isinstance(value, Memory):
        return value
    return tuple(getattr(value, name) for name in Memory.model_fields if name not in TITLES)


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
    share = _percent(refused.total() / draws) if draws else "0 %"
    first = f"{len(drawn)} memories from {draws} draws; {share} refused"
    head = wrap(first + (f": {rules}" if rules else ""), 98)
    texts = [dump(each.memory.model_copy(update={"name": describe(each.memory)})) for each in drawn]
    return "\n".join(f"# {line}" for line in head) + "\n" + "---\n".join(texts)


def text(found: Census) -> str:
    """The census in lines of at most 100 columns."""
    low, high = found.interval
    exact = found.method == "exact"
    span = "" if exact else f" ({_number(low)} to {_number(high)})"
    holes = _number(found.structures) + (", times real numbers" if found.continuous else "")
    lines = [
        f"space {found.space}",
        f"  {'structures':<14}{holes}",
        f"  {'well typed':<14}{_number(found.well_typed)}{span}",
        f"  {'refused':<14}{_percent(found.refused)} of the structures",
    ]
    if not exact:
        bounds = f"at least {_number(found.bounds[0])}, at most {_number(found.bounds[1])}"
        lines.append(f"  {'bounds':<14}{bounds}")
    what = "all" if found.all_built else "drawn at random"
    equal = f"{found.different:,} different normal forms among {found.built:,} memories, {what};"
    lines.append(f"  {'normal forms':<14}{equal}")
    share = Share(found.equal_to_known, found.built)
    limits = "" if found.all_built else " ({} to {})".format(*map(_percent, share.limits))
    equal = f"{found.equal_to_known} of these equal a known memory: {_percent(share.value)}{limits}"
    lines.append(f"  {'':<14}{equal}")
    names = f"{len(found.known)} of {found.known_of} known memories are inside"
    shown = f"{names}: {', '.join(found.known)}" if found.known else names
    lines += _block("known", shown)
    lines += ["", "refused by"]
    width = max((len(rule.rule) for rule in found.rules), default=0)
    for rule in found.rules:
        start = f"  {rule.rule:<{width}}  {_percent(rule.share):>7}  "
        lines += wrap(rule.sentence, 98, initial_indent=start, subsequent_indent=" " * len(start))
    if found.unattributed:
        lines.append(f"  {'(not divided)':<{width}}  {_percent(found.unattributed):>7}")
    lines += ["", *wrap(f"{found.structure} Well-typed ones were {found.said}.", 98)]
    lines += wrap("A refused structure is put down to the rule that was found to object first.", 98)
    return "\n".join(lines)


def summary(found: Census) -> str:
    """The count in one phrase."""
    about = "" if found.method == "exact" else "about "
    return f"{about}{_number(found.well_typed)} of {_number(found.structures)} structures fit"


def _block(title: str, words: str) -> Sequence[str]:
    return wrap(
        words,
        98,
        initial_indent=f"  {title:<14}",
        subsequent_indent=" " * 16,
        break_on_hyphens=False,
    )


def _number(value: int | float) -> str:
    if isinstance(value, float) and value < 1 and value:
        return f"{value:.2g}"
    return f"{round(value):,}" if value < 1e12 else f"{float(value):.2e}"


def _percent(share: int | float) -> str:
    if 0.9995 <= share < 1:
        return f"1 - {1 - share:.1e}" if share < 1 - 1e-15 else "almost all"
    return f"{100 * share:.1f} %" if share >= 5e-4 or share == 0 else f"{100 * share:.0e} %"
