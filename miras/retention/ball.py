"""Weights that may not leave a ball."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.retention import Decaying
from miras.retention.projection import Over, length
from miras.token import Buffers, Token, Weights


class Ball(Decaying):
    """W_t = projection of alpha_t W_{t-1} + change_t on |W| <= radius, after each write.

    The norm is that of each row, of each column, or of a whole weight matrix; what lies inside is
    left as it is.

    Source: MIRAS (arXiv 2504.13173), section 5.2, where constrained sets of weights are named.
    """

    kind: Literal["ball"] = "ball"
    over: Over = Field(default="whole", description="of what the norm is bounded")
    radius: float = Field(default=1.0, gt=0.0, le=16.0)
    of_weights: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_matrices(self) -> bool:
        return self.over != "whole"

    def link(self, accumulator: Tensor) -> Tensor:
        return accumulator

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        return {
            name: leaf * (self.radius / length(leaf, self.over)).clamp_max(1)
            for name, leaf in weights.items()
        }, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        norm = f"‖{accumulator}‖"
        of = "" if self.over == "whole" else f" for each of its {self.over}"
        return [f"{accumulator} ← {accumulator} min(1, {self.radius:g} / {norm}){of}"]
