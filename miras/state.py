"""What the next token needs: the state of a memory."""

from typing import TYPE_CHECKING, NamedTuple

import torch

from miras.gate import Use
from miras.token import Buffers, Weights

if TYPE_CHECKING:
    from miras.memory import Memory


class State(NamedTuple):
    """The state of one memory for a batch; every tensor is `[batch, heads, ...]`.

    What a memory does not need is an empty dict, so that the state is exactly what must be kept.
    """

    position: int  # tokens read so far
    weights: Weights  # the accumulator A; for a memory of pairs, the pairs
    buffers: Buffers  # what the parts keep beside: running sums, past tokens, bookkeeping
    anchor: Weights  # weights at the start of the gradient chunk
    exposed: Weights  # weights that are read, where they are refreshed every few tokens
    output: Weights  # previous output, where gates depend on it

    def floats(self) -> int:
        """Numbers kept per sequence."""
        groups = (self.weights, *self.buffers.values(), self.anchor, self.exposed, self.output)
        return sum(leaf[0].numel() for group in groups for leaf in group.values())

    def detach(self) -> "State":
        """The same numbers, cut from the graph of gradients."""

        def cut(weights: Weights) -> Weights:
            return {name: leaf.detach() for name, leaf in weights.items()}

        return State(
            self.position,
            cut(self.weights),
            {name: cut(buffer) for name, buffer in self.buffers.items()},
            cut(self.anchor),
            cut(self.exposed),
            cut(self.output),
        )


def initial_weights(
    memory: "Memory", heads: int, key_dim: int, value_dim: int, seed: int = 0
) -> Weights:
    """Random initial weights `[heads, ...]` of the architecture, the same for the same seed."""
    shapes_alone = torch.get_default_device().type == "meta"
    generator = torch.Generator().manual_seed(seed)
    mapped = memory.architecture.features.width(key_dim)
    found: Weights = {}
    for name, leaf in memory.architecture.leaves(mapped, value_dim).items():
        if shapes_alone:
            found[name] = torch.empty(heads, *leaf.shape)
            continue
        draw = torch.rand if leaf.uniform else torch.randn
        noise = draw(heads, *leaf.shape, generator=generator, dtype=torch.float64)
        if leaf.uniform:
            noise = (2 * noise - 1) * 3**0.5
        found[name] = (leaf.std * noise).to(torch.get_default_dtype())
    return found


def start(
    memory: "Memory",
    batch: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    weights: Weights | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> State:
    """The state before the first token.

    `weights [heads, ...]` are the initial weights W_0; left out, `initial_weights` with seed 0,
    which are zero for matrix and vector memories. `key_dim` is the size before the feature map.
    """
    first = weights or {}
    if len(first) < len(memory.architecture.leaves(1, 1)):
        first = initial_weights(memory, heads, key_dim, value_dim) | first
    exposed = {
        name: leaf.to(device=device, dtype=dtype).expand(batch, *leaf.shape)
        for name, leaf in first.items()
    }
    if memory.architecture.normalised:
        exposed = {
            name: torch.cat((leaf, torch.zeros_like(leaf[..., :1, :])), dim=-2)
            for name, leaf in exposed.items()
        }
    accumulator = {name: memory.retention.unlink(leaf) for name, leaf in exposed.items()}
    step = memory.stepping
    linked = {name: memory.retention.link(leaf) for name, leaf in accumulator.items()}
    output: Weights = {}
    if memory.recurrent:
        output = {"output": next(iter(exposed.values())).new_zeros(batch, heads, value_dim)}
    return State(
        position=0,
        weights=accumulator,
        buffers=_buffers(memory, accumulator, batch, heads, key_dim, value_dim),
        anchor=linked if step and step.gradient_at == "anchor" and step.chunk > 1 else {},
        exposed=linked if step and step.every > 1 else {},
        output=output,
    )


def _buffers(
    memory: "Memory", accumulator: Weights, batch: int, heads: int, key_dim: int, value_dim: int
) -> Buffers:
    """What optimizer, retention and bias keep beside the accumulator, before the first token."""
    like = next(iter(accumulator.values()))
    key = like.new_zeros(batch, heads, memory.architecture.features.width(key_dim))
    value = like.new_zeros(batch, heads, value_dim + memory.architecture.normalised)
    found = memory.optimizer.begin(accumulator, key, value)
    found = found | memory.retention.begin(accumulator, key, value)
    sizes = (key.shape[-1], value_dim)
    waiting = {"key": key} | {
        use.name: like.new_zeros(batch, heads, *memory.widths(*sizes)[use.width])
        for use in carried(memory)
    }
    if memory.bias.window > 1:
        window = waiting | {"value": value}
        found["window"] = {name: leaf[:, :, None][:, :, :0] for name, leaf in window.items()}
    if memory.bias.target == "next_value":
        found["previous"] = waiting
    if step := memory.stepping:
        pair: Weights = {"key": key, "value": value}
        if step.rereads:
            for use in carried(memory, everything=True):
                width = memory.widths(*sizes)[use.width]
                pair[use.name] = like.new_zeros(batch, heads, *width)
        if step.rereads or memory.architecture.balances:
            found["batch"] = {name: leaf[:, :, None][:, :, :0] for name, leaf in pair.items()}
    return found


def carried(memory: "Memory", everything: bool = False) -> list[Use]:
    """The gates that stay with a key while it waits in a window or for its value.

    `everything` a write depends on, for pairs that are written again later.
    """
    waits = memory.bias.target == "next_value" or everything
    own = memory.optimizer.uses()
    own = own if waits else [use for use in own if use.name.startswith(("erase", "write"))]
    found = [*memory.architecture.uses(), *memory.bias.uses(), *own]
    # What is the same for every token needs no keeping, where it is at hand later.
    return [use for use in found if everything or use.gate.fixed is None]
