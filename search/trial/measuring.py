"""What a candidate costs in a shell, counted from real tensors."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from miras.cost import parameters_without_embedding
from miras.model import Model, ModelSpec, Shell
from miras.part import SpecError
from miras.stack import layers_of

from ..space.derive import Candidate

TOO_LARGE = "a model of it does not fit into the memory that a run may use"


def too_large(error: Exception) -> bool:
    """Whether an error says that memory is used up."""
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error)))


_MEMORY = re.compile(r"can't allocate|out of memory")


class Count(NamedTuple):
    """What a model costs."""

    parameters: int  # without embedding
    state: int  # floats per layer after the longest training sequence
    grows: bool  # still, after the first tokens


def measure(candidate: Candidate, shell: Shell, length: int) -> Count:
    """Count a candidate in a shell. Raises SpecError if the shell cannot take it."""
    place = (candidate.model_dump_json(), shell.model_dump_json(), length)
    if place not in _CACHE:
        if len(_CACHE) > 512:
            _CACHE.clear()
        try:
            _CACHE[place] = _count(candidate, shell, length)
        except Exception as error:  # of whatever kind: a part that fails here is not trained
            said = (str(error).splitlines() or [type(error).__name__])[0]
            _CACHE[place] = TOO_LARGE if too_large(error) else said
    found = _CACHE[place]
    if isinstance(found, str):
        raise SpecError(found)
    return found


_CACHE: dict[tuple[str, str, int], Count | str] = {}


def _count(candidate: Candidate, shell: Shell, length: int) -> Count:
    pattern = layers_of(candidate)[: shell.layers]
    few = shell.model_copy(update={"layers": len(pattern)})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = Model(ModelSpec.of(few, pattern), 2).eval()
        x = torch.zeros(1, 1, shell.dim)
        start = max(cast(Any, block).memory.start(x).floats() for block in model.blocks)
        half = max(1, length // 2)
        sizes = _floats(model, (min(8, half), half, length))
        state, grows = next(sizes), False
        if state != start:
            before, state = sizes
            grows = state > before
    blocks = [_numbers(block) for block in model.blocks]
    rest = parameters_without_embedding(model) - sum(blocks)
    total = rest + sum(blocks[layer % len(blocks)] for layer in range(shell.layers))
    return Count(total, state, grows)


def _floats(model: Model, times: tuple[int, ...]) -> Iterator[int]:
    """State floats of the largest layer after so many tokens; a token may take long: read once."""
    state, before = None, 0
    for time in times:
        if time > before:
            _, state = model(torch.zeros(1, time - before, dtype=torch.int64), state)
            before = time
        assert state is not None
        yield max(layer.floats() for layer in state)


def _numbers(block: nn.Module) -> int:
    return sum(parameter.numel() for parameter in block.parameters())
