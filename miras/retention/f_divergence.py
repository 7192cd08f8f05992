"""Weights on a simplex that move by other divergences than Kullback and Leibler's."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.gate import Axis
from miras.retention import Retention
from miras.token import Buffers, Token, Weights


class FDivergence(Retention):
    """W_t minimises <W, -change> + sum W' f(W / W') over W >= 0 whose slices sum to `total`.

    So W_t = W' g(change - zeta), g the inverse of f', zeta one number per slice that makes the sum:
    divergence `kl`: f = x log x, W_t ~ W' exp(change), equal to `simplex` without decay;
    divergence `chi2`: f = (x - 1)^2 / 2, W_t = W' max(0, 1 + change - zeta): a weight that reaches
    zero stays there;
    divergence `reverse_kl`: f = -log x, W_t = W' / (zeta - change): none reaches zero.
    The state starts at total softmax(W_0), W_0 the learned initial weights of the architecture.

    Source: MIRAS (arXiv 2504.13173), section 5.2, equation 18. Differs: the slice over which
    weights sum to `total` is a choice; chi2 and reverse_kl are derived here from the equation.
    """

    kind: Literal["f_divergence"] = "f_divergence"
    divergence: Literal["kl", "chi2", "reverse_kl"] = "chi2"
    over: Literal["columns", "rows"] = Field(
        default="columns", description="columns: each row of a weight matrix sums to `total`"
    )
    total: float = Field(default=1.0, gt=0.0, le=64.0, description="sum of the weights of a slice")
    of_weights: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_matrices(self) -> bool:
        return True

    @property
    def simplex_axis(self) -> Axis | None:
        return "key" if self.over == "columns" else "value"

    @property
    def _axis(self) -> int:
        return -1 if self.over == "columns" else -2

    def unlink(self, weights: Tensor) -> Tensor:
        return self.total * weights.softmax(self._axis)

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        assert token.weights is not None
        settled: Weights = {}
        for name, leaf in weights.items():
            old = token.weights[name]
            moved = self._moved(old, leaf - old)
            # Rounding must not add up: every slice is scaled to its sum.
            settled[name] = moved * (self.total / moved.detach().sum(self._axis, keepdim=True))
        return settled, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        old = accumulator.replace("_t", "_{t−1}")
        change = f"{accumulator} − {old}"
        new = {
            "kl": f"{old} ⊙ exp({change} − ζ)",
            "chi2": f"{old} ⊙ max(0, 1 + {change} − ζ)",
            "reverse_kl": f"{old} / (ζ − ({change}))",
        }[self.divergence]
        slices = "row" if self.over == "columns" else "column"
        return [f"{accumulator} ← {new}, ζ such that each {slices} sums to {self.total:g}"]

    def _moved(self, old: Tensor, change: Tensor) -> Tensor:
        # What is lost in rounding grows from there, without the derivatives of a start at zero.
        old = old.clamp_min(torch.finfo(old.dtype).eps)
        # A number per slice changes nothing, and beside a largest change of 0 zeta is exact.
        change = change - change.detach().amax(self._axis, keepdim=True)
        if self.divergence == "kl":
            return self.total * (old.log() + change).softmax(self._axis)
        with torch.no_grad():
            zeta = self._root(old, change)
        # One step more of Newton's, with its gradient: that of the root as a function of its data.
        new, slope = self._at(old, change, zeta)
        missing = new.sum(self._axis, keepdim=True) - self.total
        zeta = zeta + missing / slope.sum(self._axis, keepdim=True).detach()
        return self._at(old, change, zeta)[0]

    def _at(self, old: Tensor, change: Tensor, zeta: Tensor) -> tuple[Tensor, Tensor]:
        """Weights at a zeta, and how fast they fall with it."""
        if self.divergence == "chi2":
            factor = (1 + change - zeta).clamp_min(0)
            return old * factor, old * (factor > 0)
        room = (zeta - change).clamp_min(torch.finfo(old.dtype).tiny)
        return old / room, old / room.square()

    def _root(self, old: Tensor, change: Tensor) -> Tensor:
        """Newton's steps from below: the sum is convex in zeta and falls, so they never pass it."""
        if self.divergence == "chi2":
            zeta = change.amin(self._axis, keepdim=True)
        else:  # there the largest single term alone is the total
            zeta = (change + old / self.total).amax(self._axis, keepdim=True)
        # `change` has no positive entry. Closer to the root rounding moves zeta back and forth.
        near = 4 * torch.finfo(old.dtype).eps * (1 - change.amin(self._axis, keepdim=True))
        for _ in range(50):
            new, slope = self._at(old, change, zeta)
            found = new.sum(self._axis, keepdim=True)
            # For 1 / x Newton's step on the inverse of the sum is the fast one.
            faster = found / self.total if self.divergence == "reverse_kl" else 1.0
            after = zeta + (found - self.total) / slope.sum(self._axis, keepdim=True) * faster
            moved, zeta = (after - zeta).abs(), after
            if not bool((moved > near).any()):
                break
        return zeta
