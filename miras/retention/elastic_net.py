"""Small weights are forgotten altogether."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.retention import Shaping


class ElasticNet(Shaping):
    """Soft thresholding of weights: S(z) = sign(z) max(0, |z| - threshold), beside the decay.

    form `recursive`: W_t = S(alpha_t W_{t-1} + change_t), the minimiser of |W - W'|^2 / 2 +
    threshold |W|_1; what is small fades by a step at each write.
    form `dual`: A_t = alpha_t A_{t-1} + change_t, W_t = S(A_t): what is small is not shown, and is
    not lost. `smooth` replaces S(z) by 2/pi z arctan(|z| / threshold), which has no flat part.

    Source: MIRAS (arXiv 2504.13173), equation 22 (recursive) and 23 (dual). Differs: decoupled
    alpha, step and threshold.
    """

    kind: Literal["elastic_net"] = "elastic_net"
    threshold: float = Field(default=0.01, ge=0.0, le=1.0, description="taken off each weight")
    smooth: bool = Field(default=False, description="arctan instead of a kink")

    def unlink(self, weights: Tensor) -> Tensor:
        if self.form == "recursive" or self.threshold == 0:
            return weights
        if not self.smooth:
            return weights + self.threshold * weights.sign()
        # The smooth map is convex above 0 and lies above z - 2/pi threshold: Newton's steps from
        # there come down to the root.
        wanted = weights.abs()
        found = wanted + 2 / math.pi * self.threshold
        for _ in range(60):
            scaled = found / self.threshold
            slope = scaled.arctan() + scaled / (1 + scaled.square())
            missing = found * scaled.arctan() - math.pi / 2 * wanted
            found = found - missing / slope.clamp_min(torch.finfo(slope.dtype).tiny)
        return weights.sign() * found

    def shaped(self, accumulator: Tensor) -> Tensor:
        if self.threshold == 0:
            return accumulator
        if self.smooth:
            return 2 / math.pi * accumulator * (accumulator.abs() / self.threshold).arctan()
        return accumulator - accumulator.clamp(-self.threshold, self.threshold)

    def shaped_formula(self, accumulator: str) -> str:
        if self.smooth:
            return f"2/π {accumulator} ⊙ arctan(|{accumulator}| / {self.threshold:g})"
        return f"{accumulator} − clip({accumulator}, −{self.threshold:g}, {self.threshold:g})"
