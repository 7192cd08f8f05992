"""A linear map that is read as a mean, and corrected as one."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Pull, Weights, apply
from miras.gate import Axis


class WeightedMean(Architecture):
    """M(k) = A k / (z . k + epsilon), A <- A - step error k^T, z <- z + g k.

    The error is taken of the quotient and pulled back as if it were A k alone, so under `l2` a
    value is replaced, not averaged. With `correction` g = clip(1 - z . k / |k|^2, 0, 1), no
    gradient through it: a key that is known already is not counted again, and its reads do not
    fade. Without, g = 1. Steps scale A alone, decay scales both. Features must not be negative.

    Source: ARMT (arXiv 2407.04841), equations 4-7; clipping and no gradient as in its code.
    """

    kind: Literal["weighted_mean"] = "weighted_mean"
    correction: bool = Field(default=True, description="count a key once, however often written")
    epsilon: float = Field(default=1e-5, gt=0.0, le=1e-2, description="added to z . k")
    keyed: ClassVar[bool] = True
    averages: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "key"})

    @property
    def plain(self) -> bool:
        return False

    @property
    def matrices(self) -> bool:
        return False

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {
            "matrix": Leaf((value_dim, key_dim), ("value", "key"), 0.0),
            "total": Leaf((key_dim,), ("key",), 0.0, nonnegative=True, learned=False),
        }

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return apply(weights["matrix"], key) / (self._known(weights, key) + self.epsilon)

    def respond(self, weights: Weights, key: Tensor, gates: Gates) -> tuple[Tensor, Pull]:
        known = self._known(weights, key).detach()
        new = self.unseen(known, key.detach().square().sum(-1, keepdim=True))

        def pull(error: Tensor) -> Weights:
            return {"matrix": error[..., :, None] * key[..., None, :], "total": -new * key}

        return self.predict(weights, key, gates), pull

    def unseen(self, known: Tensor, square: Tensor) -> Tensor:
        """g of keys, from z . k and |k|^2."""
        if not self.correction:
            return torch.ones_like(known)
        return self.unclipped(known, square).clamp(0, 1)

    def unclipped(self, known: Tensor, square: Tensor) -> Tensor:
        """1 - z . k / |k|^2."""
        return 1 - known / (square + self.epsilon)

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return self.sensed(self._known(weights, key), key.square().sum(-1, keepdim=True))[..., 0]

    def sensed(self, known: Tensor, square: Tensor) -> Tensor:
        """`sensitivity` from z . k and |k|^2."""
        return square / (known + self.unseen(known, square) * square + self.epsilon)

    def stepped(self, gradient: Weights, steps: Mapping[str, Tensor]) -> Weights:
        return gradient | self.scale({"matrix": gradient["matrix"]}, steps)

    def formula(self, weights: str, key: str) -> str:
        return f"M({weights}, {key})"

    def meaning(self) -> str:
        count = "clip(1 − z · k / ‖k‖², 0, 1)" if self.correction else "1"
        read = f"W = (A, z), M(W, k) = A k / (z · k + {self.epsilon:g})"
        return f"{read}, z_t = z_{{t−1}} + g k_t, g = {count}"

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return f"{error} {key}ᵀ"

    def _known(self, weights: Weights, key: Tensor) -> Tensor:
        total = weights["total"]
        assert isinstance(total, Tensor)
        return (total * key).sum(-1, keepdim=True)
