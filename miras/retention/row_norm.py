"""Rows that keep their initial lengths."""

from typing import ClassVar, Literal

from miras.retention import Retention
from miras.retention.projection import length, rescaled
from miras.token import Buffers, Token, Weights


class RowNorm(Retention):
    """W_t = W' with each row of each matrix scaled to its length in W_0, W' = W_{t-1} + change_t.

    A row holds the weights of one unit of a layer. The lengths are kept beside the weights.

    Source: LaCT (arXiv 2505.23884), section 3.1, weight normalisation after each update.
    """

    kind: Literal["row_norm"] = "row_norm"
    of_weights: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    of_initial: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True
    settles: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_matrices(self) -> bool:
        return True

    def begin(self, weights: Weights, key: object, value: object) -> Buffers:
        return {"row_norm": {name: length(leaf, "rows") for name, leaf in weights.items()}}

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        return {
            name: rescaled(leaf, "rows", buffers["row_norm"][name])
            for name, leaf in weights.items()
        }, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        return [f"{accumulator} ← {accumulator} with the length that each row has in W_0"]
