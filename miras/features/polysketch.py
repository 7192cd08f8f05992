"""A sketch of the polynomial kernel."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.features import Features


class PolySketch(Features):
    """phi(x) = vec(s s^T), s a random sketch of x (x) ... (x) x, degree / 2 times.

    On average s(q) . s(k) = (q' . k')^(degree / 2), x' = x / d^(1/4), so that phi(q) . phi(k)
    estimates the power `degree` and is never negative. Sketches are made of two of half the power:
    s = (G_1 s_1) * (G_2 s_2) / sqrt(rank), G with standard normal numbers that are drawn once from
    `seed` and never trained.

    Source: PolySketchFormer (arXiv 2310.01655), algorithm 1. Differs: no exact products inside
    blocks, no learned sketches; 1 / d^(1/4) in the place of its layer norm.
    """

    kind: Literal["polysketch"] = "polysketch"
    degree: Literal[2, 4, 8] = 4
    rank: int = Field(default=16, ge=1, le=64, description="size of s; a mapped key has rank^2")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="from which G is drawn")
    positive_kernel: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        def expand(x: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(self.seed)
            sketched = self._sketch(x / x.shape[-1] ** 0.25, self.degree // 2, generator)
            return (sketched[..., :, None] * sketched[..., None, :]).flatten(-2)

        return expand(query), expand(key)

    def _sketch(self, x: Tensor, power: int, generator: torch.Generator) -> Tensor:
        if power == 1:
            return x
        halves = [self._sketch(x, power // 2, generator) for _ in range(2)]
        shape = (halves[0].shape[-1], self.rank)
        mixed = [
            half @ torch.randn(shape, generator=generator, dtype=torch.float64).to(x)
            for half in halves
        ]
        return mixed[0] * mixed[1] / self.rank**0.5

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        def expand(x: str) -> str:
            return f"sketch of ({x} / d^¼)^⊗{self.degree}, rank {self.rank}"

        return expand(query), expand(key)

    def width(self, key_dim: int) -> int:
        return key_dim**2 if self.degree == 2 else self.rank**2
