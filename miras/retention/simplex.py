"""Weights on a simplex: forgetting by competition."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import Axis
from miras.retention import Decaying


class Simplex(Decaying):
    """A_t = alpha_t A_{t-1} - eta_t g_t, W_t = total softmax(A_t) along one axis of each matrix.

    KL divergence to the previous state with an entropy term: multiplicative weights with decay. The
    accumulator holds logits, so the normaliser of every step cancels; for that alpha must not vary
    along the softmax axis (rule T2 of docs/rules.md). The learned initial weights of the
    architecture are the first logits, so the memory starts positive whatever their sign.

    Source: MIRAS (arXiv 2504.13173), equations 21 and 27 (Memora). Differs: decoupled alpha and
    eta; the slice over which weights sum to `total` is a choice.
    """

    kind: Literal["simplex"] = "simplex"
    over: Literal["columns", "rows"] = Field(
        default="columns", description="columns: each row of a weight matrix sums to `total`"
    )
    total: float = Field(default=1.0, gt=0.0, description="sum of the weights of one slice")
    nonnegative: ClassVar[bool] = True
    bounded: ClassVar[bool] = True

    @property
    def identity_link(self) -> bool:
        return False

    @property
    def simplex_axis(self) -> Axis | None:
        return "key" if self.over == "columns" else "value"

    def link(self, accumulator: Tensor) -> Tensor:
        return self.total * accumulator.softmax(-1 if self.over == "columns" else -2)

    def formula(self, accumulator: str) -> str:
        total = "" if self.total == 1 else f"{self.total:g} "
        return f"{total}softmax({accumulator}) over {self.over}"
