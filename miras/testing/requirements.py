"""Conditions that tests put in sentences, and random numbers that are the same every time."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from miras.gate import Use

NOTHING: Mapping[str, int] = MappingProxyType({})


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Normal numbers, the same for the same shape and seed in every type."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def numbers(
    uses: Sequence[Use],
    leading: Sequence[int],
    dtype: torch.dtype,
    size: int = 3,
    sizes: Mapping[str, int] = NOTHING,
) -> dict[str, Tensor]:
    """Numbers for gates, whoever makes them; a width has `size` numbers if not in `sizes`."""
    found: dict[str, Tensor] = {}
    for seed, use in enumerate(uses):
        width = [sizes.get(use.width, size)] if use.width else []
        noise = normal(*leading, *width, dtype=dtype, seed=seed + 3)
        found[use.name] = noise.exp() if math.isinf(use.high) else noise.sigmoid() * use.high
    return found


def require(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence if it does not hold."""
    if not holds:
        raise AssertionError(sentence)


def like(found: Tensor, wanted: Tensor, what: str) -> None:
    """Require the same shape and type."""
    got, want = (f"{list(tensor.shape)} of {tensor.dtype}" for tensor in (found, wanted))
    require(got == want, f"{what} is {got}, not {want}")


def same(found: Tensor, wanted: Tensor, sentence: str, tolerance: float = 1e-9) -> None:
    """Require the same numbers."""
    close = torch.allclose(found, wanted, rtol=tolerance, atol=tolerance)
    require(close, f"{sentence} (largest difference {(found - wanted).abs().max().item():.1e})")


def finite(function: Callable[[Tensor], Tensor], at: Tensor, what: str) -> None:
    """Require that a function and its derivative are finite somewhere."""
    point = at.detach().clone().requires_grad_()
    value = function(point)
    require(bool(value.isfinite().all()), f"{what} is not finite")
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), point, materialize_grads=True)
        whole = bool(gradient.isfinite().all())
        require(whole, f"{what} has a derivative that is not finite")
