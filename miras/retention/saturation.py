"""Weights that saturate."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from miras.retention import Shaping


class Saturation(Shaping):
    """Weights squashed into (-1, 1).

    form `recursive`: W_t = tanh(alpha_t W_{t-1} + change_t), a recurrent network on matrices: large
    weights forget, small ones do not.
    form `dual`: A_t = alpha_t A_{t-1} + change_t, W_t = tanh(A_t): mirror descent with f' the
    inverse of tanh. Initial weights beyond 1 start at the edge.

    Source: E88 (recursive), reconstructed: its text was not consulted; MIRAS (arXiv 2504.13173),
    section 5.2, Bregman divergence of sum f(W_ij) (dual).
    """

    kind: Literal["saturation"] = "saturation"
    bounded: ClassVar[bool] = True

    def unlink(self, weights: Tensor) -> Tensor:
        if self.form == "recursive":
            return weights
        edge = 1 - 4 * torch.finfo(weights.dtype).eps
        return weights.clamp(-edge, edge).atanh()

    def shaped(self, accumulator: Tensor) -> Tensor:
        return accumulator.tanh()

    def shaped_formula(self, accumulator: str) -> str:
        return f"tanh({accumulator})"
