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
        square = key.detach().square().sum(-1, keepdim=True) + self.epsilon
        new = (1 - known / square).clamp(0, 1) if self.correction else torch.ones_like(known)

        def pull(error: Tensor) -> Weights:
            return {"matrix": error[..., :, None] * key[..., None, :], "total": -new * key}

        return self.predict(weights, key, gates), pull

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        known, square = self._known(weights, key), key.square().sum(-1, keepdim=True)
        new = (1 - known / (square + self.epsilon)).clamp(0, 1) if self.correction else 1.0
        return (square / (known + new * square + self.epsilon))[..., 0]

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
