"""Second-order Taylor features of the exponential kernel."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from miras.features import Features


class Taylor(Features):
    """phi(x) = [1, x / d^(1/4), vec(x x^T) / (sqrt(2) d^(1/2))], of size 1 + d + d^2.

    phi(q) . phi(k) is the Taylor polynomial of degree 2 of exp(q . k / sqrt(d)), which is positive.

    Source: Based (arXiv 2402.18668), section 4.
    """

    kind: Literal["taylor"] = "taylor"
    positive_kernel: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        def expand(x: Tensor) -> Tensor:
            size = x.shape[-1]
            square = (x[..., :, None] * x[..., None, :]).flatten(-2) / (2 * size) ** 0.5
            return torch.cat((torch.ones_like(x[..., :1]), x / size**0.25, square), dim=-1)

        return expand(query), expand(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        def expand(x: str) -> str:
            return f"[1, {x} / d^¼, vec({x} {x}ᵀ) / √(2d)]"

        return expand(query), expand(key)

    def width(self, key_dim: int) -> int:
        return 1 + key_dim + key_dim**2
