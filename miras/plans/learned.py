"""The pairs that the tokens of a piece learn: their own, those of a window, or the ones before.

The same choice as `miras.surprise.pairs` makes for one token. Layout `[batch, heads, time, ...]`.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from miras.state import State, carried
from miras.token import Buffers, Weights

if TYPE_CHECKING:
    from miras.memory import Memory


class Learned(NamedTuple):
    """Pairs in their order, and how the tokens of a piece stand to them."""

    tokens: Weights  # key, value and gates of the pairs
    band: Tensor | None  # [time, pairs], weight of a pair in the loss of a token; none: its own
    missing: int  # tokens at the start of the piece that have no pair
    buffers: Buffers  # what waits after the piece


def learned(memory: "Memory", tokens: Weights, state: State) -> Learned:
    """What a piece learns, for tokens that start after `state.position` others."""
    bias, buffers = memory.bias, state.buffers
    own = {name: leaf for name, leaf in tokens.items() if name != "query"}
    names = ["key", *(use.name for use in carried(memory))]
    if bias.target == "next_value":
        waiting = {name: own[name][:, :, -1] for name in names}
        first = 0 if state.position else 1
        for name in names:
            past = buffers["previous"][name].unsqueeze(2)
            own[name] = torch.cat((past, own[name][:, :, :-1]), dim=2)
        own = {name: leaf[:, :, first:] for name, leaf in own.items()}
        return Learned(own, None, first, buffers | {"previous": waiting})
    if bias.window == 1:
        return Learned(own, None, 0, buffers)
    past, count = buffers["window"], own["key"].shape[2]
    before = past["key"].shape[2]
    pairs = {name: torch.cat((leaf, own[name]), dim=2) for name, leaf in past.items()}
    alike = [use.name for use in memory.uses if use.gate.fixed is not None]  # of every token
    for name in alike:
        size = (-1, -1, before + count, *[-1] * (own[name].ndim - 3))
        pairs.setdefault(name, own[name][:, :, :1].expand(size))
    first = max(0, before + count - bias.window + 1)
    kept = {name: pairs[name][:, :, first:] for name in past}
    back = torch.arange(before, before + count)[:, None] - torch.arange(before + count)
    inside = (back >= 0) & (back < bias.window)
    band = torch.where(inside, bias.discount ** back.clamp(0, bias.window).double(), 0.0)
    band = band.to(dtype=own["key"].dtype, device=own["key"].device)
    return Learned(pairs, band, 0, buffers | {"window": kept})


def banded(band: Tensor | None, writes: Tensor) -> Tensor:
    """What each token learns of pairs `[batch, heads, pairs, ...]` written out."""
    if band is None:
        return writes
    return torch.einsum("tn,bhn...->bht...", band, writes)
