"""A memory on a stream: the public operator and questions between its calls."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from miras.composition import AnyCell, AnyState
from miras.composition.either import initial_weights, learned, start
from miras.composition.tree import stacked
from miras.demonstration.spec import Lessons
from miras.info import collecting
from miras.memory import Memory
from miras.operator import ask, run
from miras.part import SpecError
from miras.state import State
from miras.streams import Episode, Heard, Scores, Stream
from miras.surprise import link

FLOATS = 2**24
"""Numbers of state that are looked at together, where many questions are put to one state."""


LESSONS = 100_000_000
"""The first seed of episodes that are learned from."""

APART = 10_000
"""Between the seeds of the episodes that one trained memory is shown."""


class Played(NamedTuple):
    """What one seed gave."""

    scores: Scores
    state_floats: int
    parameters: int


class Own(NamedTuple):
    """A memory's learned tensors `[heads, ...]`."""

    constants: dict[str, Tensor]
    weights: dict[str, Tensor]  # initial ones, all of them


def play(
    memory: AnyCell, stream: Stream, seeds: Sequence[int], lessons: Lessons | None = None
) -> list[Played]:
    """A memory on a stream. Seeds run together where they have no tensors of their own."""
    firsts = [own(memory, stream, seed) for seed in seeds]
    trained = sum(leaf.numel() for leaf in _trained(memory, firsts[0]).values())
    taught = [
        teach(memory, stream, lessons, first, seed) if lessons and trained else first
        for seed, first in zip(seeds, firsts, strict=True)
    ]
    drawn = any(each.std > 0 for each in memory.gates(1, *_sizes(stream)).values())
    apart = drawn or bool(lessons and trained)
    with torch.no_grad():
        if not apart:
            episodes = [stream.episode(seed) for seed in seeds]
            starts = [each.weights for each in taught]
            heard, floats = listen(memory, episodes, taught[0].constants, starts)
            pairs = zip(episodes, heard, strict=True)
            return [Played(stream.score(one, mine), floats, trained) for one, mine in pairs]
        count = lessons.shown if lessons else 1
        return [
            _alone(memory, stream, [seed + place * APART for place in range(count)], each, trained)
            for seed, each in zip(seeds, taught, strict=True)
        ]


def _alone(memory: AnyCell, stream: Stream, seeds: Sequence[int], own: Own, trained: int) -> Played:
    """One memory with tensors of its own: the mean of its scores on some episodes."""
    episodes = [stream.episode(seed) for seed in seeds]
    heard, floats = listen(memory, episodes, own.constants, [own.weights] * len(seeds))
    scores = [stream.score(one, mine) for one, mine in zip(episodes, heard, strict=True)]
    mean = {name: fmean(each[name] for each in scores) for name in scores[0]}
    return Played(mean, floats, trained)


def _sizes(stream: Stream) -> tuple[int, int]:
    first = stream.episode(0).pieces[0]
    return first.key.shape[-1], first.value.shape[-1]


def own(memory: AnyCell, stream: Stream, seed: int) -> Own:
    """The learned tensors before any training: constants as a layer draws them."""
    sizes = _sizes(stream)
    dice = torch.Generator().manual_seed(seed)
    constants = {
        name: signal.mean
        + signal.std * torch.randn(signal.shape, generator=dice, dtype=torch.float64)
        for name, signal in memory.gates(1, *sizes).items()
        if not signal.per_token
    }
    return Own(constants, initial_weights(memory, 1, *sizes, seed))


def _trained(memory: AnyCell, own: Own) -> dict[str, Tensor]:
    return own.constants | {n: leaf for n, leaf in own.weights.items() if learned(memory, n)}


def teach(memory: AnyCell, stream: Stream, lessons: Lessons, first: Own, seed: int) -> Own:
    """The learned tensors after training on episodes of their own."""
    if not lessons.steps:
        return first
    own = Own(
        {name: leaf.clone() for name, leaf in first.constants.items()},
        {name: leaf.double().clone() for name, leaf in first.weights.items()},
    )
    leaves = [leaf.requires_grad_() for leaf in _trained(memory, own).values()]
    optimizer = torch.optim.Adam(leaves, lr=lessons.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, lessons.steps)
    fresh = LESSONS + seed * lessons.steps * lessons.batch
    for step in range(lessons.steps):
        first_one = fresh + step * lessons.batch
        episodes = [stream.episode(first_one + place) for place in range(lessons.batch)]
        heard, _ = listen(memory, episodes, own.constants, [own.weights] * len(episodes))
        pairs = zip(episodes, heard, strict=True)
        loss = torch.stack([stream.lesson(episode, mine) for episode, mine in pairs]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()
        schedule.step()
    return Own(
        {name: leaf.detach() for name, leaf in own.constants.items()},
        {name: leaf.detach() for name, leaf in own.weights.items()},
    )


def listen(
    memory: AnyCell,
    episodes: Sequence[Episode],
    constants: Mapping[str, Tensor],
    starts: Sequence[dict[str, Tensor]],
) -> tuple[list[list[Heard]], int]:
    """What the memory makes of each episode, as the sequences of one batch, and its floats."""
    key_dim, value_dim = episodes[0].pieces[0].key.shape[-1], episodes[0].pieces[0].value.shape[-1]
    state = stacked(
        [start(memory, 1, 1, key_dim, value_dim, each or None, torch.float64) for each in starts]
    )
    heard: list[list[Heard]] = [[] for _ in episodes]
    for index in range(len(episodes[0].pieces)):
        now, state = _hear(memory, episodes, index, state, constants)
        for mine, each in zip(heard, now, strict=True):
            mine.append(each)
    return heard, state.floats()


def _hear(
    memory: AnyCell,
    episodes: Sequence[Episode],
    index: int,
    state: AnyState,
    constants: Mapping[str, Tensor],
) -> tuple[list[Heard], AnyState]:
    pieces = [episode.pieces[index] for episode in episodes]

    def rows(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[:, :, None]

    query, key = rows([each.query for each in pieces]), rows([each.key for each in pieces])
    value, asked = rows([each.value for each in pieces]), rows([each.asked for each in pieces])
    offered = {name: torch.stack([each.gates[name] for each in pieces]) for name in pieces[0].gates}
    gates = _gates(memory, key, value, offered, constants)
    with collecting() as info:
        output, state = run(memory, query, key, value, gates, state)
    noted = info.noted.get("surprise/written", [])
    written = torch.stack(noted)[..., 0] if noted else value.new_zeros(0, len(pieces))
    answer = _answers(memory, asked, value, state, constants)
    weights = _weights(memory, state)
    heard = [
        Heard(
            output[row, :, 0],
            answer[row, :, 0],
            {name: leaf[row, 0] for name, leaf in weights.items()},
            written[:, row],
        )
        for row in range(len(pieces))
    ]
    return heard, state


def _answers(
    memory: AnyCell,
    asked: Tensor,
    value: Tensor,
    state: AnyState,
    constants: Mapping[str, Tensor],
) -> Tensor:
    together = max(1, FLOATS // max(1, len(asked) * state.floats()))
    found = [value[:, :0]]
    for first in range(0, asked.shape[1], together):
        some = asked[:, first : first + together]
        gates = _gates(memory, some, value, None, constants)
        found.append(ask(memory, some, gates, state, value.shape[-1]))
    return torch.cat(found, dim=1)


def _weights(memory: AnyCell, state: AnyState, place: str = "") -> dict[str, Tensor]:
    """The weights of all cells as they are read."""
    if isinstance(memory, Memory) and isinstance(state, State):
        linked = state.exposed or link(memory, state.weights)
        return {place + name: leaf for name, leaf in linked.items()}
    if isinstance(memory, Memory) or isinstance(state, State):
        return {}  # a cell that the composition keeps in a form of its own
    found: dict[str, Tensor] = {}
    for index, (cell, inner) in enumerate(zip(memory.cells, state.cells, strict=False)):
        found |= _weights(cell, inner, f"{place}{index}.")
    return found


def _gates(
    memory: AnyCell,
    key: Tensor,
    value: Tensor,
    offered: Mapping[str, Tensor] | None,
    constants: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The gates that a memory takes: offered by the stream, and its constants.

    Nothing is offered to questions: there every gate of a token is 1, or as near as it may be.
    """
    found: dict[str, Tensor] = {}
    batch, time, heads, key_dim = key.shape
    for name, signal in memory.gates(heads, key_dim, value.shape[-1]).items():
        if not signal.per_token:
            found[name] = constants[name]
            continue
        own = name.rpartition(".")[2]
        neutral = min(max(1.0, signal.low), signal.high)
        gate = torch.full((batch, time), neutral, dtype=key.dtype)
        if offered is not None:
            if own not in offered:
                raise SpecError(
                    f"the memory takes a gate {name}, the stream offers"
                    f" {', '.join(offered) or 'none'}: give it a number, {{kind: constant}}"
                )
            gate = offered[own]
        shape = (batch, time, *signal.shape)
        found[name] = gate.reshape(batch, time, *[1] * len(signal.shape)).expand(shape).clone()
    return found
