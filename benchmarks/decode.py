"""Token by token: how fast every known memory writes on from a prompt, and what it keeps for it.

The memory stands in a layer with its projections and short convolution. The prompt is read at
once, by the memory's plan, then tokens come one by one. The state of a memory that does not keep
all pairs must never be larger than what `miras explain` counts, windows and batches full. Of
others, and of compositions, the table tells what the state grew by while the tokens were read.
"""

from collections.abc import Iterator
from statistics import median

import torch

from miras.benchmarks.inputs import Sizes
from miras.benchmarks.measure import seconds
from miras.benchmarks.records import Record
from miras.composition import AnyCell
from miras.explain.counting import state_floats
from miras.known import known, named
from miras.layer import Layer
from miras.memory import Memory
from miras.part import SpecError

SHORT = 128
"""Tokens of the prompt where a longer one does not fit the memory."""

BYTES = 4
"""Of a number in float32."""


def measured(names: list[str], sizes: Sizes, tokens: int, device: str = "cpu") -> Iterator[Record]:
    """Records, memory by memory. `sizes.time` is the length of the prompt."""
    for name in names or known():
        try:
            yield measure(name, named(name), sizes, tokens, device)
        except SpecError as error:
            if sizes.time <= SHORT:
                raise
            # Such as one with a table of positions: it has room for a shorter prompt.
            note = f"prompt of {SHORT} tokens: {error}"
            yield measure(name, named(name), sizes._replace(time=SHORT), tokens, device) | {
                "note": note
            }


def measure(name: str, memory: AnyCell, sizes: Sizes, tokens: int, device: str = "cpu") -> Record:
    """One memory."""
    torch.manual_seed(0)
    layer = Layer(memory, sizes.width, sizes.heads).to(device).eval()
    x = torch.randn(sizes.batch, sizes.time + tokens, sizes.width, device=device)
    with torch.no_grad():
        state = layer(x[:, : sizes.time])[1]
        before, times = state.floats(), list[float]()

        def step(place: int) -> None:
            nonlocal state
            state = layer(x[:, place : place + 1], state)[1]

        for place in range(sizes.time, sizes.time + tokens):
            times.append(seconds(lambda t=place: step(t), x.device))
    record: Record = {
        "memory": name,
        "sizes": sizes._asdict(),
        "decoded": tokens,
        "tokens_per_second": round(sizes.batch / median(times), 1),
        "state_bytes": BYTES * state.floats(),
        "growth_bytes": BYTES * (state.floats() - before) / tokens,
    }
    if isinstance(memory, Memory) and not grows(memory):
        counted = state_floats(memory, layer.heads, layer.key_dim, layer.value_dim)
        record["most_bytes"] = BYTES * (sum(counted.values()) + state.conv[0].numel())
    return record


def grows(memory: Memory) -> bool:
    """A memory of pairs keeps them all, unless something removes some."""
    return memory.architecture.stores_pairs and memory.retention.capacity is None


def broken(records: list[Record]) -> list[str]:
    """A sentence for each memory whose state is larger than it can be."""
    return [
        f"{record['memory']}: its state has {record['state_bytes']:,} bytes, at most"
        f" {record['most_bytes']:,} were expected"
        for record in records
        if "most_bytes" in record and record["state_bytes"] > record["most_bytes"]
    ]
