"""What plans may know of a memory that is a network of matrices."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class Network(NamedTuple):
    """finish(layer_last act(... act(layer_0 k) [* gate k]) [+ offset], k), leaves of these names.

    `finish` has no weights of the state in it, and takes the gates last.
    """

    depth: int
    activation: str  # gelu, silu, relu or tanh
    gated: bool
    offset: bool
    finish: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
