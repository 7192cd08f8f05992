"""What a read of a matrix memory finds inside a chunk, without the weights of its tokens.

The weights of token i are what is left of the chunk's start, and of the rows u_j that were written
along b_j up to it: W_i = (P_i * W) + sum_j<=i D_ij u_j b_j^T. Layout `[..., C, size]`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from miras.plans.span import Sides


class Reach(NamedTuple):
    """Weights `[..., rows, columns]` at the start, how they fade, and how what is written does."""

    starts: Sequence[tuple[Tensor, Sides]]
    written: Sides

    def start(self, x: Tensor) -> Tensor:
        """W x of the starts alone `[..., C, rows]`, x `[..., C, columns]`."""
        parts = [
            fading.rows.from_start(fading.columns.from_start(x) @ weights.mT)
            for weights, fading in self.starts
        ]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def read(self, x: Tensor, along: Tensor, update: Tensor, own: bool = True) -> Tensor:
        """W_i x_i `[..., C, rows]`, `update [..., C, rows]` along `[..., C, columns]`.

        Without `own`, what a token itself writes is not seen.
        """
        pairs = self.written.columns.pairs(x, along)
        pairs = pairs if own else pairs.tril(-1)
        return self.start(x) + self.written.rows.mix(pairs, update)

    def after(self, along: Tensor, update: Tensor) -> Tensor:
        """The weights at the end of the chunk."""
        rows, columns = self.written
        parts = [fading.through(weights) for weights, fading in self.starts]
        kept = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return kept + rows.to_end(update).mT @ columns.to_end(along)

    def turned(self) -> "Reach":
        """The same of the transposed weights: rows are columns."""
        starts = [(weights.mT, Sides(*reversed(fading))) for weights, fading in self.starts]
        return Reach(starts, Sides(*reversed(self.written)))
