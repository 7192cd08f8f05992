"""Rotary positions."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.features import Features
from miras.fused import rotate


class Rope(Features):
    """phi(x_t) = R_t x_t: rotate pairs of entries by an angle that grows with the position.

    With a `period` positions are counted modulo it, as TTT does inside its chunks. Entry pairs are
    (i, i + d/2), angles t * base^(-2i/d); an odd last entry stays as it is.

    Source: RoFormer (arXiv 2104.09864), equation 34, in the split-half layout of GPT-NeoX.
    """

    kind: Literal["rope"] = "rope"
    positional: ClassVar[bool] = True
    base: float = Field(default=10_000.0, gt=1.0, description="wavelength of the slowest pair")
    period: int | None = Field(default=None, ge=1, description="count positions modulo this")

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        half = key.shape[-1] // 2
        index = torch.arange(half, device=key.device, dtype=torch.float64)
        places = position if self.period is None else position % self.period
        angle = places.double()[:, None] * self.base ** (-index / max(half, 1))
        cosine, sine = torch.cos(angle).to(key.dtype), torch.sin(angle).to(key.dtype)
        return rotate(query, cosine, sine), rotate(key, cosine, sine)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        place = "t" if self.period is None else f"t mod {self.period}"
        return f"rotate({query}, {place})", f"rotate({key}, {place})"
