"""Chunked decayed linear attention."""

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from miras.plans.outer import Outer
from miras.plans.rows import Rows

if TYPE_CHECKING:
    from miras.memory import Memory


class Linear(Outer):
    """Writes that do not look at the memory: reads are masked products of queries and keys.

    Inside a chunk y = (D * Q K^T) U + P * Q W^T with D the decay between two tokens and P that
    since the chunk's start; after it W <- W decayed + U^T (K decayed to the end).

    Source: GLA (arXiv 2312.06635), section 4; Mamba-2 (arXiv 2405.21060), section 6.
    """

    kind: Literal["linear"] = "linear"
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        return super().fits(memory) and not self.looks(memory)

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        # Nanoseconds of training on one core: so where `scan` wins.
        channels = {"key": key_dim, "value": value_dim, "both": key_dim + value_dim}
        halving = 55.0 * channels.get(memory.retention.decays or "", 0)
        return 450.0 + 20.0 * (key_dim + value_dim) + halving

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        return rows.value if rows.step is None else rows.value * rows.step
