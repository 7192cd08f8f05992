"""The positive map of the first linear attention."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from miras.features import Features


class EluPlusOne(Features):
    """phi(x) = elu(x) + 1.

    Source: Linear attention (arXiv 2006.16236), equation 7.
    """

    kind: Literal["elu1"] = "elu1"
    nonnegative: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return F.elu(query).add_(1), F.elu(key).add_(1)  # both are new

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"elu({query}) + 1", f"elu({key}) + 1"
