"""Weights tied to their accumulator by an L_q norm."""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.retention import Decaying


class Lq(Decaying):
    """A_t = alpha_t A_{t-1} - eta_t g_t, W_t = link(A_t), per weight matrix.

    form `paper`: W = A / |A|_q^(q-2), q in [2, 4]. At q = 4 (Moneta) the map is its own inverse and
    |W|_4 = 1 / |A|_4: weights shrink as the accumulator grows and blow up at A = 0.
    form `exact`: W = (q-1) sign(A) |A|^(p-1) / |A|_p^(p-2), p = q/(q-1), q in (1, 2], the gradient
    of the dual norm, which is what the derivation by mirror descent gives.
    They agree at q = 2 only. A starts at the point that the link maps to the initial weights.

    Source: MIRAS (arXiv 2504.13173), equations 24-25 (Moneta). Differs: `epsilon` in the norm.
    """

    kind: Literal["lq"] = "lq"
    form: Literal["paper", "exact"] = "paper"
    q: float = Field(default=4.0, gt=1.0, le=4.0)
    epsilon: float = Field(default=1e-12, gt=0.0, le=1e-2, description="added to sums of powers")

    @model_validator(mode="after")
    def _range_of_form(self) -> "Lq":
        low, high = (2.0, 4.0) if self.form == "paper" else (1.1, 2.0)
        # |W| = |A|^(3-q): towards q = 3 the norm of A is lost, and A that gives W is 0 or infinite.
        near = abs(self.q - 3.0) < 0.25
        if not low <= self.q <= high or near:
            raise SpecError(
                f"q = {self.q:g} does not fit form {self.form}: use {low:g} <= q <= {high:g}"
                + (", at most 2.75 or at least 3.25" if near else "")
            )
        return self

    @property
    def identity_link(self) -> bool:
        return False

    @property
    def singular_at_zero(self) -> bool:
        return self.form == "paper" and self.q > 2

    def link(self, accumulator: Tensor) -> Tensor:
        if self.form == "paper":
            return accumulator / _norm(accumulator, self.q, self.epsilon) ** (self.q - 2)
        return self._power(accumulator, self.q / (self.q - 1)) * (self.q - 1)

    def unlink(self, weights: Tensor) -> Tensor:
        if self.form == "paper":
            # |W| = |A|^(3-q), so A = W |A|^(q-2) = W |W|^((q-2)/(3-q)).
            return weights * _norm(weights, self.q, self.epsilon) ** ((self.q - 2) / (3 - self.q))
        return self._power(weights, self.q) / (self.q - 1)

    def formula(self, accumulator: str) -> str:
        if self.form == "paper":
            return f"{accumulator} / ‖{accumulator}‖_{self.q:g}^{self.q - 2:g}"
        p = self.q / (self.q - 1)
        powers = f"sign({accumulator}) |{accumulator}|^{p - 1:.3g}"
        return f"{self.q - 1:g} {powers} / ‖{accumulator}‖_{p:.3g}^{p - 2:.3g}"

    def _power(self, x: Tensor, p: float) -> Tensor:
        floor = torch.finfo(x.dtype).tiny
        raised = x.sign() * x.abs().clamp_min(floor) ** (p - 1)
        return raised / _norm(x, p, self.epsilon) ** (p - 2)


def _norm(x: Tensor, p: float, epsilon: float) -> Tensor:
    # Of squares: the power of a square that q = 4 needs is a product, any other costs far more.
    powers = x.square().clamp_min(torch.finfo(x.dtype).tiny) ** (p / 2)
    return (powers.sum((-2, -1), keepdim=True) + epsilon) ** (1 / p)
