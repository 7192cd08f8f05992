"""What plans for many tokens at once may know of an optimizer's steps."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from miras.token import Buffers

Running = Callable[[Tensor, Tensor, Tensor], Tensor]
"""All x_t = keep_t x_{t-1} + write_t: of keep `[..., time]`, write `[..., time, size]` and x_0."""


class Ahead:
    """How the write of a token can be told before the memory is asked."""

    plain: ClassVar[bool] = False  # the change is -step * gradient, whatever came before
    heavy_ball: ClassVar[bool] = False  # S <- momentum S - step * gradient, the change is S
    transforms: ClassVar[bool] = False  # S as with a heavy ball, and the change is `transform` of S
    each_write: ClassVar[bool] = False  # one of both, for each of several `writes`
    directed: ClassVar[bool] = False  # a linear memory is written along `directions`, not keys
    trails: ClassVar[bool] = False  # each write grows once more with the next token: `shares`

    def transform(self, summed: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """The change of many tokens, of running sums `[..., time, *leaf]`; gates `[..., time]`."""
        return summed

    @property
    def carries(self) -> bool:
        """Whether what is added is a running sum of steps against the gradient."""
        return self.heavy_ball

    def directions(
        self, key: Tensor, gates: Mapping[str, Tensor], buffers: Buffers, running: Running
    ) -> tuple[Tensor, Buffers]:
        """What many tokens are written along, steps left out, and own buffers after the last.

        `key [..., time, key_dim]` and scalar gates `[..., time]`.
        """
        return key, {}

    def shares(self, step: Tensor, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Sizes of a token's own write, and of what is added then to the one before it."""
        return step, torch.zeros_like(step)
