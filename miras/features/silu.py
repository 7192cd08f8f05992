"""SiLU features."""

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from miras.features import Features


class Silu(Features):
    """phi(x) = x * sigmoid(x), as in Mamba-2 after its convolution.

    Source: Mamba-2 (arXiv 2405.21060), section 7.
    """

    kind: Literal["silu"] = "silu"

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return F.silu(query), F.silu(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"silu({query})", f"silu({key})"
