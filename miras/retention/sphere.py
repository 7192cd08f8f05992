"""Weights of one length."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.retention import Retention
from miras.retention.projection import Over, axes, length, rescaled
from miras.token import Buffers, Token, Weights


class Sphere(Retention):
    """W_t = radius W' / |W'|, W' = W_{t-1} + change_t, of each column, each row or the whole.

    A column of a matrix is the slot that one entry of a key addresses; a row belongs to one entry
    of the value. With `tangent` the part of the change along the old weights is left out before,
    change <- change - w (w . change) with w = W_{t-1} / |W_{t-1}|: gradient descent on the sphere,
    by projection and retraction, where each slot takes only what is orthogonal to it. Initial
    weights are on the sphere after the first write; what is zero stays zero until it is written.

    Source: Lattice (arXiv 2504.05646) for slots on the unit sphere and orthogonal updates; sphere
    as a set of weights: MIRAS (arXiv 2504.13173), section 5.2.
    """

    kind: Literal["sphere"] = "sphere"
    over: Over = Field(default="columns", description="what has the given length")
    radius: float = Field(default=1.0, gt=0.0, le=16.0)
    tangent: bool = Field(default=False, description="drop what a change has along the weights")
    of_weights: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True
    settles: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_matrices(self) -> bool:
        return self.over != "whole"

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        assert token.weights is not None
        settled: Weights = {}
        for name, leaf in weights.items():
            written = self._tangent(leaf, token.weights[name]) if self.tangent else leaf
            settled[name] = rescaled(written, self.over, self.radius)
        return settled, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        old = accumulator.replace("_t", "_{t−1}")
        of = "" if self.over == "whole" else f" for each of its {self.over}"
        size = "" if self.radius == 1 else f"{self.radius:g} "
        lines = [f"{accumulator} ← {size}{accumulator} / ‖{accumulator}‖{of}"]
        if self.tangent:
            change = f"({accumulator} − {old})"
            along = f"w (w · {change}), w = {old} / ‖{old}‖"
            lines.insert(0, f"{accumulator} ← {accumulator} − {along}{of}")
        return lines

    def _tangent(self, written: Tensor, old: Tensor) -> Tensor:
        """The written weights without what the change has along the old ones."""
        unit = old / length(old, self.over)
        return written - unit * (unit * (written - old)).sum(axes(old, self.over), keepdim=True)
