"""Everything, one token after the other."""

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from miras.definition import Prepared, recur
from miras.plans import Plan

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Sequential(Plan):
    """The definition itself, batched over sequences and heads."""

    kind: Literal["sequential"] = "sequential"
    complexity: ClassVar[str] = "O(size of the state), no parallelism along the sequence"

    def fits(self, memory: "Memory") -> bool:
        return True

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e9

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        return recur(memory, inputs, state)
