"""Other sizes of a candidate and its shell that may have the state wanted, nearest change first."""

import math
from collections.abc import Iterator
from typing import Any, cast

from pydantic import ValidationError

from miras.composition import Composition
from miras.composition.either import keyed, wiring
from miras.memory import Memory
from miras.model import Shell
from miras.part import SpecError
from miras.stack import Stack, layers_of

from ..space.derive import Candidate, Refusal, build
from .measuring import Count, measure

SIZES = {"slots": "size", "graph": "size", "product_key": "side", "mlp": "expansion"}
"""Architecture -> the setting that says how much it holds."""


def variants(
    candidate: Candidate, shell: Shell, state: int | None, length: int
) -> Iterator[tuple[Candidate, Shell]]:
    """Sizes to try, the least change first; each is solved for from what was counted before."""
    yield candidate, shell
    if state is None:
        return
    try:
        count = measure(candidate, shell, length)
    except SpecError:
        yield from ((candidate, around) for around in _heads(shell, 1.0))
        return
    if count.grows or all(not keyed(cell) for cell in layers_of(candidate)):
        return
    yield from _sized(candidate, shell, count, state, length)
    ratio = state / count.state
    shells = [shell, *_heads(shell, ratio)]
    yield from ((candidate, around) for around in shells[1:])
    for around in shells[:3]:
        yield from _widths(candidate, around, state, length)
    for dim in _dims(shell, ratio):
        yield candidate, shell.model_copy(update={"dim": dim})


def _heads(shell: Shell, ratio: float) -> list[Shell]:
    """Other numbers of heads: more of them hold less, together."""
    divisors = [n for n in range(1, shell.dim + 1) if shell.dim % n == 0 and n != shell.heads]
    expected = shell.heads / ratio
    divisors.sort(key=lambda heads: abs(math.log(heads / expected)))
    return [shell.model_copy(update={"heads": heads}) for heads in divisors[:3]]


def _dims(shell: Shell, ratio: float) -> list[int]:
    guess = shell.heads * max(1, round(shell.dim * math.sqrt(ratio) / shell.heads))
    return [dim for dim in (guess, guess - shell.heads, guess + shell.heads) if dim >= shell.heads]


def _widths(
    candidate: Candidate, shell: Shell, state: int, length: int
) -> Iterator[tuple[Candidate, Shell]]:
    """Other sizes of keys and values, found by the slope of what was counted."""
    first = wiring(layers_of(candidate)[0])
    heads = first.heads if isinstance(first.heads, int) else shell.heads
    key = first.key_dim or max(1, shell.dim // heads)
    value = first.value_dim or max(1, shell.dim // heads)
    try:
        before = measure(candidate, shell, length).state
    except SpecError:
        return
    scale, power = 1.0, 2.0
    seen = {(key, value)}
    for _ in range(4):
        scale = max(0.05, min(16.0, scale * (state / before) ** (1 / power)))
        sizes = max(1, round(key * scale)), max(1, round(value * scale))
        if sizes in seen:
            sizes = sizes[0], sizes[1] + (1 if before < state else -1)
        if sizes in seen or sizes[1] < 1:
            return
        seen.add(sizes)
        changed = _rewired(candidate, *sizes)
        if changed is None:
            return
        try:
            now = measure(changed, shell, length).state
        except SpecError:
            return
        yield changed, shell
        reached = math.sqrt(sizes[0] * sizes[1] / (key * value))
        power = max(0.5, min(4.0, math.log(now / before) / math.log(reached / scale))) if (
            reached != scale and now != before
        ) else power  # fmt: skip
        scale, before = reached, now


def _rewired(candidate: Candidate, key: int, value: int) -> Candidate | None:
    """The candidate with other sizes of keys and values; None where it does not say them."""

    def cell(memory: Memory | Composition) -> dict[str, Any]:
        plain = memory.model_dump(mode="json")
        sizes = {"key_dim": key, "value_dim": value}
        return plain | {"wiring": wiring(memory).model_dump(mode="json") | sizes}

    if any(isinstance(each, Composition) and each.layered for each in layers_of(candidate)):
        return None
    if isinstance(candidate, Stack):
        plain = candidate.model_dump(mode="json")
        return _built(plain | {"pattern": [cell(each) for each in candidate.pattern]})
    return _built(cell(candidate))


def _sized(
    candidate: Candidate, shell: Shell, count: Count, state: int, length: int
) -> Iterator[tuple[Candidate, Shell]]:
    """Other numbers of slots, or hidden numbers, of a memory that has them."""
    if not isinstance(candidate, Memory):
        return
    field = SIZES.get(str(cast(Any, candidate.architecture).kind))
    if field is None:
        return
    size, before = getattr(candidate.architecture, field), count.state
    for _ in range(3):
        power = 0.5 if field == "side" else 1.0
        size = max(1, size * (state / before) ** power)
        size = round(size * 16) / 16 if field == "expansion" else round(size)
        plain = candidate.model_dump(mode="json")
        plain["architecture"][field] = size
        changed = _built(plain)
        if changed is None:
            return
        yield changed, shell
        try:
            now = measure(changed, shell, length).state
        except SpecError:
            return
        if now == before:
            return
        before = now


def _built(plain: dict[str, Any]) -> Candidate | None:
    try:
        found = build(plain)
    except (ValidationError, SpecError):
        return None
    return None if isinstance(found, Refusal) else found
