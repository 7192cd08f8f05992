"""Momentum whose matrices are made orthogonal before they are added."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.gate.constant import Constant
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping, broadcast
from miras.token import Buffers, Token, Weights

COEFFICIENTS = {
    "quintic": ((3.4445, -4.7750, 2.0315),),
    "lact": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
}
"""a, b, c of each iteration; the last ones again where there are more iterations."""


class Muon(Stepping):
    """S_t = eta_t S_{t-1} - step_t * gradient_t, A_t = alpha_t A_{t-1} + rate_t NS(S_t).

    NS brings all singular values of a matrix near 1: X = S / |S|_F, then `iterations` times
    X <- a X + (b X X^T + c (X X^T)^2) X. A common factor of all steps has no effect, `rate` has.
    One token's gradient has one singular value, so the weights move once per `batch` of tokens, or
    the loss has a window.

    Source: Muon (Jordan et al. 2024); Atlas (arXiv 2505.23735), section 5, and LaCT (arXiv
    2505.23884), section 3.2, whose coefficients these are.
    """

    kind: Literal["muon"] = "muon"
    momentum: AnyGate = Field(default=Sigmoid(), description="eta, what is kept of past gradients")
    rate: AnyGate = Field(default=Constant(), description="length of a change, non-negative")
    iterations: int = Field(default=5, ge=0, le=20, description="Newton-Schulz iterations")
    coefficients: Literal["quintic", "lact"] = Field(
        default="quintic", description="one polynomial for all iterations, or LaCT's five"
    )
    batch: int = Field(
        default=8, ge=1, description="tokens whose gradients are summed before one step"
    )
    buffers: ClassVar[tuple[str, ...]] = ("momentum",)
    normalises: ClassVar[bool] = True
    transforms: ClassVar[bool] = True

    def uses(self) -> list[Use]:
        kept = Use("momentum", "", self.momentum, 0.0, 1.0, "what is kept of past gradients")
        rate = Use("rate", "", self.rate, 0.0, float("inf"), "length of a change")
        return [*super().uses(), kept, rate]

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        kept = token.gates["momentum"]
        summed = {
            name: broadcast(kept, leaf) * buffers["momentum"][name] - leaf
            for name, leaf in step_gradient.items()
        }
        change = {name: self.transform(leaf, token.gates) for name, leaf in summed.items()}
        return change, {"momentum": summed}

    def transform(self, summed: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        rate = gates["rate"]
        return broadcast(rate, summed) * self.orthogonal(summed, summed.ndim - rate.ndim)

    def orthogonal(self, leaf: Tensor, axes: int) -> Tensor:
        """NS of the matrices in the last `axes` dimensions; a vector is a matrix of one column."""
        if axes == 1:
            return self.orthogonal(leaf[..., None], 2)[..., 0]
        x = leaf / (leaf.square().sum((-2, -1), keepdim=True) + 1e-14).sqrt()
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        table = COEFFICIENTS[self.coefficients]
        for place in range(self.iterations):
            a, b, c = table[min(place, len(table) - 1)]
            square = x @ x.mT
            x = a * x + (b * square + c * square @ square) @ x
        return x.mT if tall else x

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        past = "" if gates["momentum"] == "1" else f"{gates['momentum']} "
        rate = "" if gates["rate"] == "1" else f"{gates['rate']} "
        made = f"NS_{self.iterations}(S_t)" if self.iterations else "S_t / ‖S_t‖"
        return [f"S_t = {past}S_{{t−1}} {change}", f"{new} = {retained} + {rate}{made}"]
