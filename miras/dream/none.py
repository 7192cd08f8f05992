"""No dream."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.dream import Dream


class NoDream(Dream):
    """Slots stay as they are between two tokens: the neutral member of this axis."""

    kind: Literal["none"] = "none"
    dreams: ClassVar[bool] = False

    def dream(self, slots: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        return slots

    def formula(self, slots: str) -> str:
        return slots
