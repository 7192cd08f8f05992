"""The neutral map."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from miras.features import Features


class Identity(Features):
    """Query and key as they are: the neutral map."""

    kind: Literal["identity"] = "identity"

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return query, key

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return query, key
