"""Which tokens are written at all: those that surprise most, within a budget."""

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from miras.part import Part


class Chosen(NamedTuple):
    """What became of one token."""

    gate: Tensor  # [batch, heads], in [0, 1]; a hard gate is 0 or 1 with the soft one's gradient
    threshold: Tensor  # [batch, heads], the logarithm of the next threshold


class Surprise(Part):
    """written_t = s_t > tau_t, s_t = |prediction - target|^2 / value_dim.

    log tau_{t+1} = log tau_t + rate (written_t - budget): the threshold follows the quantile
    1 - budget of the surprise, for each sequence and head, whatever the scale of the values.

    A hard gate has the gradient of the soft one, sigmoid((log s - log tau) / temperature).

    Source: hard gate on the surprise of Titans (arXiv 2501.00663), section 3.1; the tracked
    quantile is stochastic approximation (Robbins and Monro 1951); straight-through gradient (arXiv
    1308.3432).
    """

    budget: float = Field(default=0.25, gt=0.0, lt=1.0, description="share of tokens written")
    form: Literal["hard", "soft"] = Field(
        default="hard", description="write all of a token or nothing, or a part of each"
    )
    temperature: float = Field(default=1.0, gt=0.0, le=100.0, description="width of the soft gate")
    rate: float = Field(default=0.2, gt=0.0, le=10.0, description="pace of the threshold")
    start: float = Field(default=1e-2, gt=0.0, description="the threshold before the first token")

    @property
    def hard(self) -> bool:
        """Whether a token is written as a whole or not at all."""
        return self.form == "hard"

    def begin(self, like: Tensor) -> Tensor:
        """The logarithm of the threshold `[batch, heads]`, for keys `[batch, heads, key_dim]`."""
        return like.new_full(like.shape[:-1], self.start).log()

    def choose(self, residual: Tensor, threshold: Tensor) -> Chosen:
        """The gate of a token with residual `[batch, heads, value_dim]`, and the next threshold."""
        size = residual.square().mean(-1).clamp_min(torch.finfo(residual.dtype).tiny).log()
        gate = torch.sigmoid((size - threshold) / self.temperature)
        written = (size > threshold).to(size.dtype)
        moved = threshold + self.rate * (written - self.budget)
        if self.hard:
            gate = written + gate - gate.detach()
        return Chosen(gate, moved)

    def formula(self, part: str = "") -> list[str]:
        """Equations of the gate u_t, from the residual of a token."""
        size = "‖e_t‖² / value_dim"
        hard = f"u_t = 1 if s_t > τ_t, else 0, s_t = {size}"
        soft = f"u_t = sigmoid(log(s_t / τ_t) / {self.temperature:g}), s_t = {size}"
        follow = f"log τ_{{t+1}} = log τ_t + {self.rate:g} ([s_t > τ_t] − {self.budget:g})"
        return [hard if self.hard else soft, follow]
