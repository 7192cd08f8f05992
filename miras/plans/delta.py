"""The delta rule in chunks."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from miras.plans.outer import Outer
from miras.plans.rows import Rows

if TYPE_CHECKING:
    from miras.memory import Memory


class Delta(Outer):
    """Linear errors: one triangular solve per chunk (WY, UT transform).

    With b = step k, D the decay between two tokens and P that since the chunk's start,
    (I + stril(D * K B^T)) U = V - P * K W^T, then y = (D * Q B^T) U + P * Q W^T and
    W <- W decayed + U^T (B decayed to the end). A gradient at the weights before the decay of its
    token leaves that decay out of D and P in the first equation; momentum makes D a product of two
    such matrices.

    Source: DeltaNet (arXiv 2406.06484), section 3.2; Gated DeltaNet (arXiv 2412.06464), section
    3.3; decays per key channel as in Kimi Linear (arXiv 2510.26692).
    """

    kind: Literal["delta"] = "delta"
    complexity: ClassVar[str] = "O(chunk (chunk + key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        axis = step.step_axis if step is not None else ""
        linear = memory.bias.linear or not memory.bias.residual
        fits = super().fits(memory) and self.looks(memory)
        return fits and linear and axis in ("scalar", "key")

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 30.0 * (self.chunk + key_dim + value_dim)

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        solver = cast(Any, torch.linalg.solve_triangular)
        return solver(gram, rows.value - known, upper=False, unitriangular=True)
