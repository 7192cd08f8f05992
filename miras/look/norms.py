"""How long the state of a memory grows over a very long text."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from miras.look.watching import Call, chosen, size, watching
from miras.model import Model
from miras.part import SpecError
from miras.tasks import Task

PIECE = 2048
"""Tokens that are read at once."""

PER_DECADE = 6
"""Points of the grid for each factor of ten."""


def grid(tokens: int) -> list[int]:
    """Numbers of tokens, evenly spaced in their logarithm, from 1 to all."""
    steps = max(1, round(PER_DECADE * torch.tensor(float(tokens)).log10().item()))
    return sorted({round(tokens ** (step / steps)) for step in range(steps + 1)})


def stream(task: Task, seed: int, tokens: int) -> Int64[Tensor, " tokens"]:
    """Training sequences of a task, one after the other, as one text."""
    found: list[Tensor] = []
    count = 0
    for batch in task.train_stream(seed):
        found.append(batch.tokens.flatten())
        count += len(found[-1])
        if count >= tokens:
            break
    return torch.cat(found)[:tokens]


@torch.no_grad()
def norms(
    model: Model, index: int, head: int, tokens: Int64[Tensor, " time"], points: list[int]
) -> Iterator[tuple[int, float]]:
    """Length of what a head has stored after so many tokens, read in pieces by the fastest plan."""
    layer, memory = chosen(model, index)
    if memory.architecture.stores_pairs:
        raise SpecError(
            "a memory of pairs keeps what it is given: its state gets longer by a pair a token, and"
            " its length says nothing"
        )
    calls: list[Call] = []
    model.eval()
    state, read = None, 0
    with watching(layer, calls.append, literal=False):
        for point in points:
            while read < point:
                piece = tokens[None, read : min(point, read + PIECE)]
                scored = torch.zeros_like(piece, dtype=torch.bool)
                scored[:, -1] = True  # one row of logits is the least that a model gives
                calls.clear()
                _, state = model(piece, state, scored)
                read += piece.shape[1]
            yield point, float(size(memory, calls[-1].state)[0, head])
