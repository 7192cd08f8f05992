"""One token as the parts of a memory see it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

Weights = dict[str, Tensor]
Buffers = dict[str, Weights]


class Token(NamedTuple):
    """Query and key are mapped, all gates are numbers; every tensor leads with `[batch, heads]`.

    The second group is filled in as the token is worked on: an optimizer and a retention gate after
    the write see all of it, a retention gate before the write only the weights before the decay.
    """

    query: Tensor  # [batch, heads, key_dim]
    key: Tensor
    value: Tensor  # [batch, heads, value_dim], one more with a normaliser
    gates: Mapping[str, Tensor]  # constants included, [heads, ...]
    position: int  # tokens read before this one

    residual: Tensor | None = None  # prediction - target [batch, heads, value_dim]
    address: Tensor | None = None  # how strongly each slot is written [batch, heads, slots]
    weights: Mapping[str, Tensor] | None = None  # the retained accumulator, before the change
    step: Tensor | None = None  # step per head [batch, heads], where it is one number
    prediction: Tensor | None = None  # what the memory answered [batch, heads, value_dim]

    def due(self, every: int) -> bool:
        """Whether this token is the last of a period of so many tokens."""
        return (self.position + 1) % every == 0
