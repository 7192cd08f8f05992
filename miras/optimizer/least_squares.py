"""The best weights for the whole past, found when they are read."""

from collections.abc import Callable, Mapping
from math import expm1, log
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor
from torch.autograd import Function

from miras.gate import Signal
from miras.linear import solution
from miras.optimizer import Stepping, one_step
from miras.part import SpecError
from miras.token import Buffers, Token, Weights

Times = Callable[[Tensor], Tensor]
"""A matrix as what it does to a vector."""


class LeastSquares(Stepping):
    """y_t = G_t (H_t + Lambda)^-1 q_t with the sums of the past, both under one retention gate.

    G_t = alpha_t G_{t-1} + step_t v_t k_t^T are the weights, H_t = alpha_t H_{t-1} + step_t k_t
    k_t^T `[key, key]` stands beside them. G (H + Lambda)^-1 is the minimiser of the faded squares
    plus Lambda |W|^2. Lambda, one number per key channel, is learned: `floor` + softplus(c), which
    is `ridge` at the start.
    The system is solved exactly, or by `iterations` of conjugate gradients from q / (diag H +
    Lambda), which alone is left with 0. Their derivative is that of the exact solution, from as
    many iterations on the same system.

    Source: MesaNet (arXiv 2506.05233), equations 6-9, 30 iterations in training.
    """

    kind: Literal["least_squares"] = "least_squares"
    ridge: float = Field(default=1.0, gt=0.0, le=1e3, description="Lambda at the start")
    floor: float = Field(default=0.25, gt=0.0, le=1e3, description="smallest Lambda")
    iterations: int | None = Field(
        default=None, ge=0, le=128, description="of conjugate gradients; left out: exact"
    )
    quadratic_only: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    sums: ClassVar[bool] = True

    @model_validator(mode="after")
    def _ridge_above_floor(self) -> "LeastSquares":
        if self.ridge <= self.floor:
            raise SpecError(
                f"ridge: {self.ridge:g} is learned above its floor {self.floor:g}: use a larger"
                " ridge or a smaller floor"
            )
        return self

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        infinite, above = float("inf"), self.ridge - self.floor
        start = above + log(-expm1(-above))  # inverse softplus, for large numbers too
        meaning = "ridge of least squares per key channel, before softplus"
        return [Signal("ridge", (heads, key_dim), -infinite, infinite, False, meaning, start)]

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        moment = key.new_zeros(*key.shape, key.shape[-1])
        return super().begin(weights, key, value) | {"moment": {"key": moment}}

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        assert token.prediction is not None
        step, key = one_step(self, token)[..., None, None], token.key
        kept = token.gates.get("decay", torch.ones_like(key[..., 0]))[..., None, None]
        moment = kept * buffers["moment"]["key"] + step * key[..., :, None] * key[..., None, :]
        # The gradient is step (prediction - target) key: what it takes away is put back.
        stored = step * token.prediction[..., :, None] * key[..., None, :]
        change = {name: stored - leaf for name, leaf in step_gradient.items()}
        return change, {"moment": {"key": moment}}

    def seek(self, query: Tensor, buffers: Buffers, gates: Mapping[str, Tensor]) -> Tensor:
        precise = torch.promote_types(query.dtype, torch.float32)
        matrix = buffers["moment"]["key"].to(precise)

        def times(x: Tensor) -> Tensor:
            return torch.einsum("...ij,...j->...i", matrix, x)

        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        return self.solved(query.to(precise), matrix, times, diagonal, gates).to(query.dtype)

    def solved(
        self,
        query: Tensor,
        moment: Tensor | None,
        times: Times,
        diagonal: Tensor,
        gates: Mapping[str, Tensor],
    ) -> Tensor:
        """(H + Lambda)^-1 query, from H itself where it is solved exactly, else from H x."""
        ridge = self.floor + F.softplus(gates["ridge"]).to(query.dtype)
        if self.iterations is None:
            assert moment is not None
            return solution(moment + torch.diag_embed(ridge), query[..., None])[..., 0]

        def with_ridge(x: Tensor) -> Tensor:
            return times(x) + ridge * x

        return _conjugate(with_ridge, diagonal + ridge, query, self.iterations)

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        past = "" if gates.get("decay", "1") == "1" else f"{gates['decay']} "
        step = "" if gates["step"] == "1" else f"{gates['step']} "
        return [f"{new} = {retained} + {step}v_t k_tᵀ", f"H_t = {past}H_{{t−1}} + {step}k_t k_tᵀ"]

    def seek_formula(self, query: str) -> str:
        if self.iterations is None:
            return f"(H_t + Λ)⁻¹ {query}"
        return f"cg_{self.iterations}(H_t + Λ, {query})"


def _conjugate(times: Times, diagonal: Tensor, wanted: Tensor, iterations: int) -> Tensor:
    """The x of times(x) = wanted, approximately, with the derivative of the exact solution."""
    if not iterations:
        return wanted / diagonal
    with torch.no_grad():
        found = _iterated(times, diagonal, wanted, iterations)
    # x - A^-1 (A x - wanted), of which only the derivative is not zero. Through the iterations
    # themselves it would be noise: those after the system is solved divide rounding by rounding.
    solved = cast(Any, _Solved).apply(times(found) - wanted, times, diagonal.detach(), iterations)
    return found - cast(Tensor, solved)


def _iterated(times: Times, diagonal: Tensor, wanted: Tensor, iterations: int) -> Tensor:
    """Conjugate gradients from the solution of the diagonal."""
    found = wanted / diagonal
    missing = wanted - times(found)
    direction, size = missing, missing.square().sum(-1, keepdim=True)
    tiny, rounding = torch.finfo(size.dtype).tiny, torch.finfo(size.dtype).eps
    enough = rounding**2 * wanted.square().sum(-1, keepdim=True)
    for _ in range(iterations):
        alive = size > enough  # what is left of a solved system is rounding
        if not bool(alive.any()):
            break
        moved = times(direction)
        length = size / (direction * moved).sum(-1, keepdim=True).clamp_min(tiny) * alive
        found, missing = found + length * direction, missing - length * moved
        after = missing.square().sum(-1, keepdim=True)
        direction, size = missing + after / size.clamp_min(tiny) * direction, after
    return found


class _Solved(Function):
    """Nothing, with the derivative of A^-1 residual: one more system, of the same matrix."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        residual, ctx.times, ctx.diagonal, ctx.iterations = inputs
        return torch.zeros_like(residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "conjugate gradients have no derivative of their derivative here: leave iterations"
                " out, then the system is solved exactly"
            )
        found = _iterated(ctx.times, ctx.diagonal, gradients[0], ctx.iterations)
        return found, None, None, None
