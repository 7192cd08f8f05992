"""Weights between nought and one."""

from typing import ClassVar, Literal

from torch import Tensor

from miras.retention import Decaying


class SigmoidLink(Decaying):
    """A_t = alpha_t A_{t-1} + change_t, W_t = sigmoid(A_t): each weight in (0, 1) by itself.

    Mirror descent with the entropy of a coin per weight. The learned initial weights of the
    architecture are the first logits, so a memory that starts at zero starts at W = 1/2.

    Source: MIRAS (arXiv 2504.13173), section 5.2, Bregman divergence of sum f(W_ij) with f' the
    logit.
    """

    kind: Literal["sigmoid"] = "sigmoid"
    of_weights: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    @property
    def identity_link(self) -> bool:
        return False

    @property
    def of_matrices(self) -> bool:
        return False

    def link(self, accumulator: Tensor) -> Tensor:
        return accumulator.sigmoid()

    def formula(self, accumulator: str) -> str:
        return f"sigmoid({accumulator})"
