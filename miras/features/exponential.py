"""Random features of the exponential kernel."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.features import Features


class Exponential(Features):
    """phi(x) = exp(Omega x' - |x'|^2 / 2) / sqrt(count), x' = x / d^(1/4).

    Omega has `count` rows of standard normal numbers, drawn once from `seed` and never trained. On
    average over Omega phi(q) . phi(k) = exp(q . k / sqrt(d)): the polynomial of infinite degree of
    DeepTransformers and Dot, with an error that shrinks as 1 / sqrt(count).

    Source: Performer (arXiv 2009.14794), lemma 1, positive random features; Atlas (arXiv
    2505.23735), section 3, for the kernel. Differs: Atlas needs the infinite map only inside inner
    products; a memory that is a network takes the features themselves, so they are finite here.
    """

    kind: Literal["exponential"] = "exponential"
    count: int = Field(default=32, ge=1, le=4096, description="random directions")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="from which they are drawn")
    nonnegative: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        size = key.shape[-1]
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randn(self.count, size, generator=generator, dtype=torch.float64)
        directions = rows.to(device=key.device, dtype=key.dtype)

        def expand(x: Tensor) -> Tensor:
            x = x / size**0.25
            power = x @ directions.mT - x.square().sum(-1, keepdim=True) / 2
            return power.exp() / self.count**0.5

        return expand(query), expand(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        def expand(x: str) -> str:
            return f"exp(Ω {x} / d^¼ − ‖{x}‖² / (2 √d)) / √{self.count}"

        return expand(query), expand(key)

    def width(self, key_dim: int) -> int:
        return self.count
