"""Plans: fast algorithms, each exact for some of the memories.

A plan says from capabilities, never from names, which memories it fits, and computes the function
of `miras.definition`: outputs, gradients and final state.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from miras.definition import Prepared
from miras.part import Part, leaves

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Plan(Part, ABC):
    """A way to run a memory over a sequence."""

    complexity: ClassVar[str]  # work per token and head, for `miras explain`

    @abstractmethod
    def fits(self, memory: "Memory") -> bool:
        """Whether this plan computes exactly this memory."""

    @abstractmethod
    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        """Rough relative time per token and head; the cheapest fitting plan is chosen."""

    def derives(self, memory: "Memory") -> frozenset[str]:
        """Gates derived from others that the plan makes itself: `run` is given none of these."""
        return frozenset()

    @abstractmethod
    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        """Raw outputs `[batch, time, heads, value_dim]` and the state after the last token."""


def plans() -> dict[str, Plan]:
    """All plans by name."""
    return {kind: part() for kind, part in leaves(__name__).items() if issubclass(part, Plan)}
