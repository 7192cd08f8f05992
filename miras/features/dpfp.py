"""Products of neighbouring rectified entries."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.features import Features


class DeterministicProjection(Features):
    """phi(x) = [r * roll(r, 1), ..., r * roll(r, nu)], r = [max(x, 0), max(-x, 0)].

    Of size 2 nu d, sparse and without parameters: keys in different quadrants become orthogonal.

    Source: Linear transformers are secretly fast weight programmers (arXiv 2102.11174), equations
    36-37.
    """

    kind: Literal["dpfp"] = "dpfp"
    nu: int = Field(default=3, ge=1, le=16, description="shifts; a mapped key has 2 nu d entries")
    nonnegative: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        def expand(x: Tensor) -> Tensor:
            rectified = torch.cat((F.relu(x), F.relu(-x)), dim=-1)
            shifted = (rectified.roll(shift, dims=-1) for shift in range(1, self.nu + 1))
            return torch.cat([rectified * other for other in shifted], dim=-1)

        return expand(query), expand(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"DPFP_{self.nu}({query})", f"DPFP_{self.nu}({key})"

    def width(self, key_dim: int) -> int:
        return 2 * self.nu * key_dim
