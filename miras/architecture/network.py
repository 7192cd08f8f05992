"""What plans may know of a memory that is a network of matrices."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class Network(NamedTuple):
    """finish(layer_last act(... act(layer_0 k) [* gate k]) [+ offset], k), leaves of these names.

    `finish`, which takes the gates last, is the norm with gain `norm_gain` and, if it is that of a
    layer, shift `norm_shift`, and the sum with k where there is a residual.
    """

    depth: int
    activation: str  # gelu, silu, relu or tanh
    gated: bool
    offset: bool
    norm: str  # none, layer or rms
    residual: bool
    finish: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
