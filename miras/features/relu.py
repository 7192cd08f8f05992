"""Rectified features."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from miras.features import Features


class Relu(Features):
    """phi(x) = max(x, 0).

    Source: Kasai et al., T2R (arXiv 2103.13076), without its learned projection.
    """

    kind: Literal["relu"] = "relu"
    nonnegative: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return F.relu(query), F.relu(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"max({query}, 0)", f"max({key}, 0)"
