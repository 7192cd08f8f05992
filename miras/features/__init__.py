"""Key maps: what is done to query and key before the memory sees them.

The map belongs to the memory: `identity` leaves both alone, and nothing is scaled silently.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from miras.gate import Signal
from miras.part import Part, one_of


class Features(Part, ABC):
    """A map of query and key `[batch, time, heads, key_dim]`."""

    unit_norm: ClassVar[bool] = False  # mapped keys have norm 1
    nonnegative: ClassVar[bool] = False  # mapped keys and queries have no negative entry
    positive_kernel: ClassVar[bool] = False  # mapped query . mapped key is never negative
    needs_decay: ClassVar[bool] = False  # the map reads the key-axis retention gate
    positional: ClassVar[bool] = False  # the map depends on the place of a token in the sequence

    @abstractmethod
    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mapped query and key; `position [time]` counts tokens from the start of the sequence.

        `gates` holds the constants of the map, and the gates of the memory where it needs them.
        """

    def constants(self, heads: int, key_dim: int) -> list[Signal]:
        """Learned tensors of the map itself, for keys of size `key_dim` before the map."""
        return []

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        """`map` in writing; `gates` are the names of the gates in formulas."""
        kind = getattr(self, "kind", type(self).__name__)
        return f"{kind}({query})", f"{kind}({key})"

    def width(self, key_dim: int) -> int:
        """Size of a mapped key."""
        return key_dim


if TYPE_CHECKING:
    AnyFeatures = Features
else:
    AnyFeatures = one_of(__name__)
