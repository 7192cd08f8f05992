"""What the tokens of a chunk write to a matrix memory, as rows along keys.

Heads first, `[batch, heads, C, size]`. A token that writes several times has as many rows after
each other.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from miras.architecture import turned
from miras.optimizer import Stepping
from miras.plans.chunked import Piece
from miras.plans.span import of_tokens
from miras.surprise import gated, guard, senses, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory


class Rows(NamedTuple):
    """One row u along b each, from what the memory answers to an address."""

    address: Tensor  # what the memory is asked
    direction: Tensor  # b but for `size`
    value: Tensor  # the target
    gates: dict[str, Tensor]  # that the error map takes
    size: Tensor | None = None  # a step per token `[..., C]`
    limit: Tensor | None = None  # of a guarded error map
    step: Tensor | None = None  # of each value channel

    @property
    def along(self) -> Tensor:
        """b, what a row is written along."""
        return self.direction if self.size is None else self.direction * self.size[..., None]


def erasing(memory: "Memory") -> bool:
    """Whether the optimizer takes away what the memory answers, whatever the bias."""
    return memory.stepping is not None and memory.stepping.erases


def erasing_twice(memory: "Memory") -> bool:
    """Whether a row is the value minus twice the answer: the error's and the optimizer's."""
    return erasing(memory) and memory.bias.residual and memory.bias.linear


def asks_early(memory: "Memory") -> bool:
    """Whether addresses are asked before the decay of their token."""
    removes, step = memory.retention.removes, memory.stepping
    if removes:
        return removes == "together"
    return step is not None and step.gradient_at != "retained"


def rows_of(
    memory: "Memory",
    optimizer: Stepping,
    piece: Piece,
    directions: Tensor | None = None,
    time: int = 2,
) -> Rows:
    """All rows of a chunk; `time` is the dimension of tokens: 2 with heads first, 1 without.

    `directions` are what tokens are written along, where that is not their key.
    """
    architecture, bias = memory.architecture, memory.bias
    names = [use.name for use in bias.uses()]
    fixed = {signal.name: piece[signal.name] for signal in bias.constants(1, 1, 1)}
    sensed = senses(optimizer) or bias.guarded  # else nobody looks at it
    found: list[Rows] = []
    if memory.retention.removes:
        # The answer is taken away: its target is zero.
        address, along = memory.retention.gone(piece["key"], piece)
        found.append(Rows(address, along, torch.zeros_like(piece["value"]), {}))
    for key, value, gates in optimizer.writes(piece["key"], piece["value"], piece):
        sensitivity = architecture.sensitivity({}, key, gates) if sensed else key[..., 0]
        steps = step_sizes(optimizer, gates, sensitivity, key.shape[-1])
        along = key if directions is None else directions
        if "key" in steps:
            along = along * steps["key"]
        address, target = gated(key, "erase", gates), gated(value, "write", gates)
        if erasing_twice(memory):
            address = 2 * address
        now = {name: gates[name] for name in names} | fixed
        if not bias.residual:
            # It looks at no answer; an optimizer that erases takes that to its own address away.
            target = bias.written(target, now)
        limit = guard(memory, steps, sensitivity)
        sizes = (steps.get(""), limit, steps.get("value"))
        found.append(Rows(address, along, target, now, *sizes))
    if len(found) == 1:
        return found[0]
    if not (bias.residual or optimizer.erases):  # beside a removal, which looks
        silent = torch.zeros_like(found[-1].address)
        found = [found[0], *(row._replace(address=silent) for row in found[1:])]
    address = between([row.address for row in found], time)
    along = between([row.along for row in found], time)
    value = between([row.value for row in found], time)
    # Only the rows of an optimizer have gates of an error map, and limits to it.
    learned = [row.gates for row in found if row.gates]
    shared = {name: between([gates[name] for gates in learned], time) for name in names}
    limits = [row.limit for row in found if row.limit is not None]
    steps = [row.step for row in found if row.step is not None]
    limit, step = (between(each, time) if each else None for each in (limits, steps))
    return Rows(address, along, value, shared | fixed, None, limit, step)


def in_chunk(keep: Tensor, write: Tensor, start: Tensor) -> Tensor:
    """All x_t = keep_t x_{t-1} + write_t of a chunk."""
    span = of_tokens(keep)
    assert span.between is not None
    return span.from_start(start[..., None, :]) + span.between @ write


def between(parts: list[Tensor], time: int = 2) -> Tensor:
    """Rows of tokens that have several, one after the other."""
    return torch.stack(parts, dim=time + 1).flatten(time, time + 1)


def each_of(tensor: Tensor, count: int, time: int = 2) -> Tensor:
    """What a token has, for each of its rows."""
    return tensor if count == 1 else tensor.repeat_interleave(count, dim=time)


def first_of(gate: Tensor, count: int, time: int = 2) -> Tensor:
    """A multiplier of a token on the first of its rows, one on the others."""
    if count == 1:
        return gate
    return between([gate] + [torch.ones_like(gate)] * (count - 1), time)


class Frame(NamedTuple):
    """Keys as they were at the start, before the memory was turned."""

    angle: Tensor  # how far it was turned up to each token, 1 for half a turn
    time: int

    @staticmethod
    def of(share: Tensor, time: int = 2) -> "Frame":
        """Of the gates `rotation` of some tokens."""
        angle = (2 * share.double() - 1).cumsum(time)
        # Whole turns change nothing, and would take the digits of what is left.
        return Frame((angle - 2 * (angle / 2).round().detach()).to(share.dtype), time)

    def entered(self, key: Tensor, count: int) -> Tensor:
        """Keys of tokens that have `count` each."""
        return turned(key, (1 - each_of(self.angle, count, self.time)) / 2)

    def left(self, weights: Tensor) -> Tensor:
        """The weights after the last token as they are."""
        return turned(weights, (1 + self.angle.select(self.time, -1).unsqueeze(-2)) / 2)
