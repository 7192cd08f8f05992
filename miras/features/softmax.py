"""Softmax over the entries of a key."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.features import Features


class SoftmaxFeatures(Features):
    """phi(x) = softmax(x).

    Source: Efficient attention (arXiv 1812.01243), section 3.2; SRWM (arXiv 2202.05780).
    """

    kind: Literal["softmax"] = "softmax"
    nonnegative: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return query.softmax(-1), key.softmax(-1)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"softmax({query})", f"softmax({key})"
