"""A memory on a stream: the public operator and questions between its calls."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from miras.composition import AnyCell, AnyState
from miras.composition.either import initial_weights, learned, start
from miras.composition.tree import stacked
from miras.info import collecting
from miras.memory import Memory
from miras.operator import ask, run
from miras.part import SpecError
from miras.state import State
from miras.streams import Episode, Heard, Scores, Stream
from miras.surprise import link

FLOATS = 2**24
"""Numbers of state that are looked at together, where many questions are put to one state."""


class Played(NamedTuple):
    """What one seed gave."""

    scores: Scores
    state_floats: int
    parameters: int


def play(memory: AnyCell, stream: Stream, seeds: Sequence[int]) -> list[Played]:
    """A memory on a stream, all seeds at once: they are the sequences of one batch."""
    episodes = [stream.episode(seed) for seed in seeds]
    key_dim, value_dim = episodes[0].pieces[0].key.shape[-1], episodes[0].pieces[0].value.shape[-1]
    firsts = [initial_weights(memory, 1, key_dim, value_dim, seed) for seed in seeds]
    state = stacked(
        [start(memory, 1, 1, key_dim, value_dim, each or None, torch.float64) for each in firsts]
    )
    heard: list[list[Heard]] = [[] for _ in seeds]
    with torch.no_grad():
        for index in range(len(episodes[0].pieces)):
            now, state = _hear(memory, episodes, index, state)
            for mine, each in zip(heard, now, strict=True):
                mine.append(each)
    trained = sum(leaf.numel() for name, leaf in firsts[0].items() if learned(memory, name))
    signals = memory.gates(1, key_dim, value_dim).values()
    trained += sum(torch.Size(each.shape).numel() for each in signals if not each.per_token)
    return [
        Played(stream.score(episode, mine), state.floats(), trained)
        for episode, mine in zip(episodes, heard, strict=True)
    ]


def _hear(
    memory: AnyCell, episodes: Sequence[Episode], index: int, state: AnyState
) -> tuple[list[Heard], AnyState]:
    pieces = [episode.pieces[index] for episode in episodes]

    def rows(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[:, :, None]

    query, key = rows([each.query for each in pieces]), rows([each.key for each in pieces])
    value, asked = rows([each.value for each in pieces]), rows([each.asked for each in pieces])
    offered = {name: torch.stack([each.gates[name] for each in pieces]) for name in pieces[0].gates}
    gates = _gates(memory, key, value, offered)
    with collecting() as info:
        output, state = run(memory, query, key, value, gates, state)
    noted = info.noted.get("surprise/written", [])
    written = torch.stack(noted)[..., 0] if noted else value.new_zeros(0, len(pieces))
    answer = _answers(memory, asked, value, state)
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


def _answers(memory: AnyCell, asked: Tensor, value: Tensor, state: AnyState) -> Tensor:
    together = max(1, FLOATS // max(1, len(asked) * state.floats()))
    found = [value[:, :0]]
    for first in range(0, asked.shape[1], together):
        some = asked[:, first : first + together]
        gates = _gates(memory, some, value, None)
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
    memory: AnyCell, key: Tensor, value: Tensor, offered: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The gates that a memory takes: offered by the stream, constants at their means.

    Nothing is offered to questions: there every gate of a token is 1, or as near as it may be.
    """
    found: dict[str, Tensor] = {}
    batch, time, heads, key_dim = key.shape
    for name, signal in memory.gates(heads, key_dim, value.shape[-1]).items():
        if not signal.per_token:
            found[name] = torch.full(signal.shape, signal.mean, dtype=key.dtype)
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
