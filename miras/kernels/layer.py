"""Norms, gating and rotation of rows: each one pass forward and one back.

Rows are those of tensors `[batch, time, heads, size]` with any strides but the last, which is 1:
what a layer hands to its memory are views of one projection, and what comes back may lie heads
first.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from miras.kernels import TYPES, kernel, text

_BLOCK = 128  # rows whose gradients of gains one item of work adds up


@cache
def _source() -> str:
    each = text("layer.cpp")
    shared = text("functions.hpp", "layer.hpp")
    return shared + "".join(each.replace("REAL", real) for real in TYPES.values())


def _kernel(name: str, like: Tensor, *others: Tensor) -> Callable[..., None] | None:
    return kernel(_source(), name, like) if all(x.dtype == like.dtype for x in others) else None


def _view(x: Tensor) -> tuple[Any, Any]:
    """Where the rows are, and how far apart."""
    steps = (ctypes.c_int64 * 4)(x.shape[1], *x.stride()[:3])
    return x if x.is_contiguous() else x.data_ptr(), steps


def _sizes(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _rows(x: Tensor) -> int:
    return x.shape[0] * x.shape[1]


def rms(x: Tensor, gain: Tensor, eps: float) -> Tensor | None:
    """x / sqrt(mean of x^2 + eps) times the gain, `[size]` or `[heads, size]`."""
    run = _kernel("rms", x, gain)
    if run is None:
        return None
    found, apart = torch.empty_like(x), x.shape[3] if gain.ndim == 2 else 0
    least = x.new_full((1,), eps)
    run(*_view(x), gain, apart, least, *_view(found), *_sizes(x), items=_rows(x))
    return found


def rms_back(x: Tensor, gain: Tensor, eps: float, above: Tensor) -> tuple[Tensor, Tensor] | None:
    """Gradients of x and of the gain."""
    run = _kernel("rms_back", x, gain)
    if run is None:
        return None
    found, apart = torch.empty_like(x), x.shape[3] if gain.ndim == 2 else 0
    blocks = -(-_rows(x) // _BLOCK)
    gains, least = gain.new_empty(blocks, *gain.shape), x.new_full((1,), eps)
    given = (*_view(x), gain, apart, least, *_view(above), *_view(found), gains, gain.numel())
    run(*given, *_sizes(x), _rows(x), _BLOCK, items=blocks)
    return found, gains.sum(0)


def unit(x: Tensor, eps: float, silu: bool) -> Tensor | None:
    """y / max(|y|, eps), y = x or silu(x)."""
    run = _kernel("unit", x)
    if run is None:
        return None
    found, least = torch.empty_like(x), x.new_full((1,), eps)
    run(*_view(x), least, int(silu), *_view(found), *_sizes(x), items=_rows(x))
    return found


def unit_back(x: Tensor, eps: float, silu: bool, above: Tensor) -> Tensor | None:
    """Gradient of x."""
    run = _kernel("unit_back", x)
    if run is None:
        return None
    found, least = torch.empty_like(x), x.new_full((1,), eps)
    given = (*_view(x), least, int(silu), *_view(above), *_view(found))
    run(*given, *_sizes(x), items=_rows(x))
    return found


def gated(gate: Tensor, value: Tensor) -> Tensor | None:
    """silu(gate) value, for one head."""
    run = _kernel("gated", gate, value)
    if run is None:
        return None
    found = gate.new_empty(gate.shape)
    run(*_view(gate), *_view(value), *_view(found), gate.shape[3], items=_rows(gate))
    return found


def gated_back(
    gate: Tensor, value: Tensor, above: Tensor, of_gate: Tensor, of_value: Tensor
) -> bool:
    """Write the gradients of gate and value to where they are wanted; False without a kernel."""
    run = _kernel("gated_back", gate, value)
    if run is None:
        return False
    given = (*_view(gate), *_view(value), *_view(above), *_view(of_gate), *_view(of_value))
    run(*given, gate.shape[3], items=_rows(gate))
    return True


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, sign: int) -> Tensor | None:
    """Entries (i, half + i) of every head turned by the angle of their token, `[time, half]`."""
    run = _kernel("rotate", x, cosine)
    if run is None:
        return None
    found = x.new_empty(x.shape)
    angles = (cosine.contiguous(), sine.contiguous(), sign)
    run(*_view(x), *angles, *_view(found), cosine.shape[1], *_sizes(x), items=_rows(x))
    return found
