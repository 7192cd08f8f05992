"""What can be asked of a memory, be it one cell or a composition."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from miras import state as states
from miras.composition.contract import Place, Sizes, inside
from miras.memory import Memory, Wiring

if TYPE_CHECKING:
    from miras.composition import AnyCell

Weights = dict[str, Tensor]


def initial_weights(
    memory: "AnyCell", heads: int, key_dim: int, value_dim: int, seed: int = 0
) -> Weights:
    """Random initial weights `[heads, ...]` of all cells, the same for the same seed."""
    if isinstance(memory, Memory):
        return states.initial_weights(memory, heads, key_dim, value_dim, seed)
    return {
        f"{place}.{name}": leaf
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
        for name, leaf in initial_weights(cell, heads, *sizes, seed + place).items()
    }


def learned(memory: "AnyCell", name: str) -> bool:
    """Whether a layer trains these initial weights; those of linear memories stay zero."""
    if isinstance(memory, Memory):
        architecture, leaf = memory.architecture, memory.architecture.leaves(1, 1)[name]
        # A linear memory starts at zero for good, unless it says where else.
        starts = leaf.std > 0 or not architecture.linear
        return starts and leaf.learned and not architecture.stores_pairs
    place, _, inner = name.partition(".")
    return learned(memory.cells[int(place)], inner)


def start(
    memory: "AnyCell",
    batch: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    weights: Weights | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Any:
    """The state before the first token, of a cell or a composition.

    `weights [heads, ...]` are initial weights, named as `initial_weights` names them; cells of
    which none is given start from their own with seed 0.
    """
    if isinstance(memory, Memory):
        return states.start(memory, batch, heads, key_dim, value_dim, weights, dtype, device)
    cells = tuple(
        start(cell, batch, heads, *sizes, inside(weights or {}, place) or None, dtype, device)
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
    )
    like = torch.zeros((), dtype=dtype, device=device)
    return memory.begin(cells, Sizes(batch, heads, key_dim, value_dim), like)


def places(memory: "AnyCell", key_dim: int, value_dim: int, group: str = "") -> list[Place]:
    """Every gate that a layer has to make, of all cells and of the composition itself."""
    if isinstance(memory, Memory):
        step = memory.stepping
        widths = memory.widths(memory.architecture.features.width(key_dim), value_dim, key_dim)
        return [
            Place(
                group + use.name,
                group,
                use.gate,
                sum(widths[use.width]),
                use.low,
                use.high,
                step.chunk if step else 1,
            )
            for use in memory.uses
            if use.gate.own
        ]
    found = [
        each
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
        for each in places(cell, *sizes, f"{group}{place}.")
    ]
    found += [
        Place(group + own.name, group, own.gate, own.width, own.low, own.high, 1)
        for own in memory.own()
        if own.gate.own
    ]
    return found


def wiring(memory: "AnyCell") -> Wiring:
    """How a layer feeds a memory: as it says itself, or as its first cell does."""
    if memory.wiring is not None:
        return memory.wiring
    return wiring(memory.cells[0]) if memory.cells else Wiring()


def keyed(memory: "AnyCell") -> bool:
    """Whether any cell looks at query and key."""
    if isinstance(memory, Memory):
        return memory.architecture.keyed
    return not memory.cells or any(keyed(cell) for cell in memory.cells)


def basic(memory: "AnyCell") -> tuple[Memory, ...]:
    """The memories at the bottom, in order."""
    if isinstance(memory, Memory):
        return (memory,)
    return tuple(inner for cell in memory.cells for inner in basic(cell))
