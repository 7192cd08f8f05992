"""Random finite automata, what they write, and n-grams that read it."""

from collections.abc import Sequence
from math import lcm
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

ODD = np.uint64(0x9E3779B97F4A7C15)


class Automata(NamedTuple):
    """Automata of n states, one a row. State 0 is the start, every state accepts.

    Edge e of a state exists for e < degree; its edges have different symbols.
    """

    degree: NDArray[np.int64]  # [rows, states]
    symbol: NDArray[np.int64]  # [rows, states, edges]
    target: NDArray[np.int64]


def automata(
    generator: np.random.Generator,
    rows: int,
    states: int,
    edges: int,
    alphabet: tuple[int, int],
) -> Automata:
    """Random automata: one edge of each state goes round through all states, so that none is out of
    reach; up to `edges` - 1 others go to any other state. The symbols of a row are a random part of
    the alphabet, `alphabet[0]` of them to all."""
    fewest, symbols = alphabet
    shape = (rows, states, edges)
    used = generator.integers(fewest, symbols + 1, (rows, 1))
    allowed = generator.random((rows, symbols)).argsort(1).argsort(1) < used
    wish = generator.random((rows, states, symbols)) + ~allowed[:, None]
    target = 1 + np.arange(states)[:, None] + generator.integers(0, states - 1, shape)
    target[..., 0] = 1 + np.arange(states)
    return Automata(
        generator.integers(1, edges + 1, shape[:2]),
        wish.argsort(2)[..., :edges],
        target % states,
    )


def languages(these: Automata, depth: int) -> NDArray[np.uint64]:
    """A hash of the words of up to `depth` symbols: equal languages have equal hashes.

    Two automata that differ do so in a word of fewer symbols than they have states together.
    """
    rows, states = (int(size) for size in these.target.shape[:2])
    exists = _exists(these).astype(np.uint64)
    name = (these.symbol.astype(np.uint64) + np.uint64(1)) * ODD
    place = these.target + states * np.arange(rows)[:, None, None]
    found: Any = np.ones((rows, states), np.uint64)
    for _ in range(depth):
        inner = (found.take(place) ^ name) * ODD
        inner ^= inner >> np.uint64(29)
        found = ((inner * ODD ^ inner >> np.uint64(32)) * exists).sum(2) + np.uint64(1)
    return found[:, 0]


def _exists(these: Automata) -> NDArray[np.bool_]:
    """Which edges there are."""
    return np.arange(int(these.symbol.shape[2])) < these.degree[..., None]


def words(
    these: Automata, generator: np.random.Generator, length: int, longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words of 1 to `longest` symbols with separators (-1) before, between and after them.

    Each symbol is one of the state's, equally likely. Beside them the set of symbols that were
    possible there, as bits of a number.
    """
    rows, states, edges = (int(size) for size in these.symbol.shape)
    # Every number of edges divides `slots`: one draw serves all states.
    slots = lcm(*range(1, edges + 1))
    edge = np.arange(slots) % these.degree[..., None]
    symbol = np.take_along_axis(these.symbol, edge, 2).ravel()
    target: Any = np.take_along_axis(these.target, edge, 2).ravel() * slots
    possible = (_exists(these).astype(np.int64) << these.symbol).sum(2).ravel()

    ends = (1 + generator.integers(1, longest + 1, (rows, length // 2 + 1))).cumsum(1)
    separator = np.zeros((rows, length), bool)
    separator[:, 0] = True
    row, word = (ends < length).nonzero()
    separator[row, ends[row, word]] = True

    going: Any = np.ascontiguousarray(~separator.T).astype(np.int64)
    chosen = generator.integers(0, slots, (length, rows)) + np.arange(rows) * states * slots
    state: Any = np.zeros(rows, np.int64)
    for time in range(length):
        chosen[time] += state
        state = going[time] * target.take(chosen[time])
    chosen = chosen.T
    return (
        np.where(separator, -1, symbol.take(chosen)),
        np.where(separator, 0, possible.take(chosen // slots)),
    )


def grams(
    tokens: Int64[Tensor, "rows time"],
    following: Int64[Tensor, "rows time"],
    order: int,
    symbols: int,
) -> list[Float[Tensor, "rows time symbols"]]:
    """What n-grams of 1 to `order` tokens, counted in a row's own past, say follows.

    Witten and Bell's mixture: an order leaves to the one below as much as it saw different symbols.
    `following` is the symbol after each token; ids from `symbols` on separate and are never said.
    """
    told, after = np.asarray(tokens), np.asarray(following)
    (rows, time), base = tokens.shape, symbols + 2
    count: list[Any] = [np.zeros((rows * base**back, symbols), np.float32) for back in range(order)]
    place: list[Any] = [np.arange(rows)[:, None].repeat(time, 1)]
    for back in range(order - 1):
        past = np.full((rows, time), base - 1)
        past[:, back:] = told[:, : time - back]
        place.append(place[-1] * base + past)
    known = (after >= 0) & (after < symbols)
    said = [np.empty((rows, time, symbols), np.float32) for _ in range(order)]
    for now in range(time):
        counts = known[:, now]
        next_symbol = after[counts, now]
        estimate: NDArray[np.float32] = np.full((rows, symbols), 1 / symbols, np.float32)
        for back in range(order):
            seen: Any = count[back][place[back][:, now]]
            kinds: Any = (seen > 0).sum(1, dtype=np.float32)[:, None]
            total: Any = seen.sum(1, keepdims=True) + kinds
            mixed = np.divide(seen + kinds * estimate, np.maximum(total, 1))
            estimate = np.where(kinds > 0, mixed, estimate)
            said[back][:, now] = estimate
            count[back][place[back][counts, now], next_symbol] += 1
    return [torch.as_tensor(estimate) for estimate in said]


def distances(
    said: Float[Tensor, "scored vocabulary"], possible: Int64[Tensor, " scored"]
) -> tuple[Float[Tensor, " scored"], Bool[Tensor, " scored"]]:
    """Total variation between probabilities and the uniform ones over the possible symbols, and
    whether the most likely id is possible."""
    bits = possible[:, None] >> torch.arange(said.shape[1]) & 1
    truth = bits / bits.sum(1, keepdim=True)
    away = (said - truth).abs().sum(1) / 2
    return away, bits.gather(1, said.argmax(1, keepdim=True))[:, 0] > 0


def mean_over(values: Sequence[Tensor]) -> float:
    """The mean of all numbers in pieces."""
    return float(torch.cat([part.double() for part in values]).mean())
