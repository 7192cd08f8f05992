"""The pairs of a batch: kept until its end, written again, and looked at together.

The part of the definition for optimizers with `batch` > 1 and `passes` > 1 (the batch is read
again at the new weights), and for architectures with an objective of their own over many keys.
"""

import torch
from torch import Tensor

from miras.memory import Memory
from miras.optimizer import Stepping
from miras.state import carried
from miras.surprise import Pairs, link, surprise
from miras.token import Buffers, Token, Weights


def keep(memory: Memory, optimizer: Stepping, learned: Pairs, buffers: Buffers) -> Buffers:
    """Buffers with the pair of this token among those of its batch, if they are kept at all."""
    if "batch" not in buffers or not learned:
        return buffers
    pair = learned[0][1]
    own = {"key": pair.key, "value": pair.value}
    if optimizer.rereads:
        own |= {use.name: pair.gates[use.name] for use in carried(memory, everything=True)}
    return join(buffers, {name: leaf.unsqueeze(2) for name, leaf in own.items()})


def join(buffers: Buffers, pairs: Weights) -> Buffers:
    """Buffers with more pairs `[batch, heads, pairs, ...]` of the batch."""
    kept = buffers["batch"]
    return buffers | {"batch": {n: torch.cat((leaf, pairs[n]), dim=2) for n, leaf in kept.items()}}


def emptied(buffers: Buffers) -> Buffers:
    """Buffers at the start of a batch."""
    if "batch" not in buffers:
        return buffers
    return buffers | {"batch": {name: leaf[:, :, :0] for name, leaf in buffers["batch"].items()}}


def balanced(
    memory: Memory, optimizer: Stepping, at: Weights, gradient: Weights, token: Token, keys: Tensor
) -> Weights:
    """The gradient with that of the architecture's own objective, once for the keys of a batch."""
    if not memory.architecture.balances or not token.due(optimizer.batch):
        return gradient
    more = memory.architecture.crowding(at, keys, optimizer.shared)
    return gradient | {name: gradient[name] + leaf for name, leaf in more.items()}


def reread(
    memory: Memory, optimizer: Stepping, weights: Weights, buffers: Buffers, token: Token
) -> tuple[Weights, Buffers]:
    """Accumulator and buffers after the further passes over the batch that `token` ends."""
    if not optimizer.rereads:
        return weights, emptied(buffers)
    kept = buffers["batch"]
    count = kept["key"].shape[2]
    for _ in range(optimizer.passes - 1):
        at = link(memory, weights)
        for place in range(count):
            then = {name: leaf[:, :, place] for name, leaf in kept.items()}
            now = token._replace(position=token.position - count + 1 + place, weights=weights)
            gates = {**now.gates, **{n: x for n, x in then.items() if n not in ("key", "value")}}
            pair = now._replace(key=then["key"], value=then["value"], gates=gates)
            gradient, now = surprise(memory, at, [(1.0, pair)], now)
            gradient = balanced(memory, optimizer, at, gradient, now, kept["key"])
            gradient, buffers, now = optimizer.select(gradient, buffers, now)
            change, after = optimizer.move(gradient, buffers, now)
            buffers = buffers | after
            if change is not None:
                weights = {name: leaf + change[name] for name, leaf in weights.items()}
                weights, buffers = memory.retention.settle(weights, buffers, now)
    return weights, emptied(buffers)
