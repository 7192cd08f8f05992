"""Token by token: how fast every known memory writes on from a prompt, and what it keeps for it.

The memory stands in a layer with its projections and short convolution. The prompt is read at once,
by the memory's plan, then tokens come one by one. A state that is larger after these than before
grows; that of a memory with a state of one size must not, once windows and batches are full.
"""

from collections.abc import Iterator
from statistics import median

import torch

from miras.benchmarks.inputs import Sizes
from miras.benchmarks.measure import seconds
from miras.benchmarks.records import Record
from miras.composition import AnyCell, Composition
from miras.known import known, named
from miras.layer import Layer
from miras.memory import Memory

BYTES = 4
"""Of a number in float32."""


def measured(names: list[str], sizes: Sizes, tokens: int, device: str = "cpu") -> Iterator[Record]:
    """Records, memory by memory. `sizes.time` is the length of the prompt."""
    for name in names or known():
        yield measure(name, named(name), sizes, tokens, device)


def measure(name: str, memory: AnyCell, sizes: Sizes, tokens: int, device: str = "cpu") -> Record:
    """One memory."""
    torch.manual_seed(0)
    layer = Layer(memory, sizes.width, sizes.heads).to(device).eval()
    x = torch.randn(sizes.batch, sizes.time + tokens, layer.width, device=device)
    with torch.no_grad():
        state = layer(x[:, : sizes.time])[1]
        before, times = state.floats(), list[float]()

        def step(place: int) -> None:
            nonlocal state
            state = layer(x[:, place : place + 1], state)[1]

        for place in range(sizes.time, sizes.time + tokens):
            times.append(seconds(lambda t=place: step(t), x.device))
    growth = BYTES * (state.floats() - before) / tokens
    return {
        "memory": name,
        "sizes": sizes._asdict(),
        "decoded": tokens,
        "tokens_per_second": round(sizes.batch / median(times), 1),
        "state_bytes": BYTES * state.floats(),
        "growth_bytes": growth,
        "bounded": bounded(memory),
    }


def bounded(memory: AnyCell) -> bool | None:
    """Whether the state has one size however long the sequence; none: the composition says."""
    if isinstance(memory, Composition):
        return None
    return not grows(memory)


def grows(memory: Memory) -> bool:
    """A memory of pairs keeps them all, unless something removes some."""
    return memory.architecture.stores_pairs and memory.retention.capacity is None


def broken(records: list[Record]) -> list[str]:
    """A sentence for each memory whose state should have one size and grew."""
    return [
        f"{record['memory']}: its state has one size and grew by {record['growth_bytes']:g} bytes a"
        " token"
        for record in records
        if record.get("bounded") and record.get("growth_bytes")
    ]
