"""The coldest pair goes."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.retention import Retention
from miras.retention.eviction import evicted, with_newest
from miras.token import Buffers, Token, Weights


class Heat(Retention):
    """At most `size` stored pairs; of those that are not among the newest, the coldest is dropped.

    heat_i <- cooling heat_i + the weight of pair i in the read of each token; a new pair starts at
    surprise |residual|^2 / value_dim, residual what the memory answered to its key beside its
    value. Each sequence and head drops its own. Gradients pass through what is read, not through
    the choice.

    Source: H2O (arXiv 2306.14048), accumulated attention with the newest pairs kept; cooling and
    the part of surprise from the heat of MemoryOS (arXiv 2506.06326).
    """

    kind: Literal["heat"] = "heat"
    size: int = Field(default=64, ge=1, description="pairs kept")
    recent: int = Field(default=1, ge=1, description="newest pairs that are not dropped")
    cooling: float = Field(
        default=1.0, ge=0.0, le=1.0, description="what is left of heat per token"
    )
    surprise: float = Field(
        default=0.0, ge=0.0, le=10.0, description="first heat per squared error"
    )
    of_pairs: ClassVar[bool] = True
    notices: ClassVar[bool] = True

    @model_validator(mode="after")
    def _room_for_old_pairs(self) -> "Heat":
        if self.recent > self.size:
            raise SpecError(
                f"recent: {self.recent} pairs are not dropped, of which size: {self.size} cannot"
                " all be kept: use recent of at most size"
            )
        return self

    @property
    def plain(self) -> bool:
        return False

    @property
    def capacity(self) -> int:
        return self.size

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        return {"heat": {"pairs": weights["log_kept"]}}

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        first = token.value.new_zeros(token.value.shape[:-1])
        if token.residual is not None:
            first = self.surprise * token.residual.detach().square().mean(-1)
        gate = None if token.step is None else token.step.detach()
        heat = with_newest(self.cooling * buffers["heat"]["pairs"], first, -1.0, gate)
        # A blank pair that was nobody's place is gone already.
        heat = heat[..., heat.shape[-1] - weights["log_kept"].shape[-1] :]
        weights, heat = evicted(weights, heat, self.size, self.recent)
        return weights, buffers | {"heat": {"pairs": heat}}

    def notice(self, buffers: Buffers, address: Tensor, token: Token) -> Buffers:
        heat = buffers["heat"]["pairs"]
        warmed = torch.where(heat < 0, heat, heat + address.detach())  # blank pairs stay cold
        return buffers | {"heat": {"pairs": warmed}}

    def kept_formula(self) -> str:
        return f"the {self.size} hottest, the newest {self.recent} always, of "
