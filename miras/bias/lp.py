"""Power of the absolute error."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Entrywise, Gates


class Lp(Bias):
    """loss = sum_j (r_j^2 + s)^(p/2) / p, error_j = r_j (r_j^2 + s)^(p/2 - 1).

    r is prediction - target. With s = 0 this is |r|_p^p / p and error sign(r) |r|^(p-1). For p > 2
    an explicit step diverges on large residuals; `guard` keeps |error| <= |r| / (step * |key|^2),
    which is where one step lands on the target (rule T15 of docs/rules.md).

    Source: MIRAS (arXiv 2504.13173), equations 10-11 (Moneta). Differs: divided by p, so that p = 2
    is `l2`; one smoothing s in loss and error where the paper smooths sign and power apart.
    """

    kind: Literal["lp"] = "lp"
    p: float = Field(default=3.0, ge=1.0, le=4.0, description="power of the error")
    smoothing: float = Field(default=1e-6, ge=0.0, le=1.0, description="s, in squared value units")
    guard: bool = Field(
        default=True, description="limit the error where an explicit step overshoots"
    )
    coordinate_wise: ClassVar[bool] = True

    @property
    def guarded(self) -> bool:
        return self.guard and self.p > 2

    @property
    def slope(self) -> float:
        if self.smoothing == 0 and self.p < 2:
            return math.inf
        return self.smoothing ** (self.p / 2 - 1)

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        return self._square(prediction - target).pow(self.p / 2).sum(-1) / self.p

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        residual = prediction - target
        factor = self._square(residual).pow(self.p / 2 - 1)
        return residual * (factor if limit is None else torch.minimum(factor, limit))

    def _square(self, residual: Tensor) -> Tensor:
        # The floor keeps the derivative of powers finite at a zero residual when s = 0.
        return (residual.square() + self.smoothing).clamp_min(torch.finfo(residual.dtype).tiny)

    def entrywise(self) -> Entrywise:
        square = "most(r * r + p[0], std::numeric_limits<T>::min())"
        powers = {1.0: f"T(1) / root({square})", 3.0: f"root({square})", 4.0: square}
        factor = powers.get(self.p, f"power({square}, p[1])")
        if self.guarded:
            factor = f"least({factor}, limit)"
        return Entrywise(f"r * {factor}", (self.smoothing, self.p / 2 - 1))

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        if self.p == 2:
            return f"{prediction} − {target}"
        base, power = f"r² + {self.smoothing:g}" if self.smoothing else "r²", self.p / 2 - 1
        factor = f"√({base})" if power == 0.5 else f"({base})^({power:g})".replace("(-", "(−")
        limited = factor if limit is None else f"min({factor}, {limit})"
        return f"r ⊙ {limited}, r = {prediction} − {target}"
