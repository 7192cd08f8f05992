"""Dreams: what a memory of slots does with itself while nothing comes in.

A dream maps the content of all slots to new content. It reads no token; its learned tensors are
constants of the memory and do not change along the sequence. The optimizer calls it between two
tokens (`Stepping.rest`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import Tensor

from miras import info
from miras.gate import Signal
from miras.part import Part, one_of


class Dream(Part, ABC):
    """An offline pass over the slots, once in a while."""

    dreams: ClassVar[bool] = True  # it does anything at all

    every: int = Field(default=4, ge=1, description="tokens between two passes")

    def due(self, position: int) -> bool:
        """Whether there is a pass after the token of this index, counted from 0; never the first.

        The first pass comes after token `every`, so that it sees one token more than a period.
        """
        return self.dreams and position > 0 and position % self.every == 0

    def constants(self, heads: int, slots: int, dim: int) -> list[Signal]:
        """Learned tensors, for so many slots of so many numbers."""
        return []

    @abstractmethod
    def dream(self, slots: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """New content `[..., slots, dim]`; `gates` holds the constants `[heads, ...]`."""

    def dreamt(self, slots: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """The content after a dream, noted beside what it was where somebody watches."""
        found = self.dream(slots, gates)
        if info.watched():
            info.note("dream/before", slots.detach())
            info.note("dream/after", found.detach())
        return found

    def formula(self, slots: str) -> str:
        """`dream` in writing."""
        return f"dream({slots})"


if TYPE_CHECKING:
    AnyDream = Dream
else:
    AnyDream = one_of(__name__)
