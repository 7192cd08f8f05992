"""The pair that nobody asked for the longest goes."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.retention import Retention
from miras.retention.eviction import evicted, with_newest
from miras.token import Buffers, Token, Weights


class LeastUsed(Retention):
    """At most `size` stored pairs; the one that was not used for the most tokens is dropped.

    age_i <- age_i + 1 per token, and 0 where pair i has at least `share` times its equal part, one
    over the number of pairs, of the weight of a read. A new pair has age 0 and is not dropped by
    itself. Of equal ages the oldest goes. Each sequence and head drops its own.

    Source: least recently used access of memory-augmented networks (arXiv 1605.06065), section 3.2,
    with a list that grows up to its size instead of slots.
    """

    kind: Literal["least_used"] = "least_used"
    size: int = Field(default=64, ge=1, description="pairs kept")
    share: float = Field(
        default=1.0, ge=0.0, le=16.0, description="weight of a use, over that of equal parts"
    )
    of_pairs: ClassVar[bool] = True
    notices: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def capacity(self) -> int:
        return self.size

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        return {"age": {"pairs": weights["log_kept"]}}

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        gate = None if token.step is None else token.step.detach()
        young = token.value.new_zeros(token.value.shape[:-1])
        blank = torch.finfo(young.dtype).max  # older than all
        age = with_newest(buffers["age"]["pairs"] + 1, young, blank, gate)
        age = age[..., age.shape[-1] - weights["log_kept"].shape[-1] :]
        weights, negative = evicted(weights, -age, self.size, 1)
        return weights, buffers | {"age": {"pairs": -negative}}

    def notice(self, buffers: Buffers, address: Tensor, token: Token) -> Buffers:
        age = buffers["age"]["pairs"]
        used = address * address.shape[-1] >= self.share
        return buffers | {"age": {"pairs": torch.where(used, torch.zeros_like(age), age)}}

    def kept_formula(self) -> str:
        return f"the {self.size} last used of "
