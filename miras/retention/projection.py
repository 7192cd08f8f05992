"""Lengths of weights, of their rows or of their columns, for gates that project on them."""

from typing import Literal

import torch
from torch import Tensor

Over = Literal["whole", "rows", "columns"]


def axes(leaf: Tensor, over: Over) -> tuple[int, ...]:
    """The axes of a leaf `[batch, heads, ...]` that a norm runs over."""
    return {"whole": tuple(range(2, leaf.ndim)), "rows": (-1,), "columns": (-2,)}[over]


def length(leaf: Tensor, over: Over) -> Tensor:
    """Norms with axes of one, above 0, and with a derivative at 0, which is 0."""
    squares = leaf.square().sum(axes(leaf, over), keepdim=True)
    return squares.clamp_min(torch.finfo(leaf.dtype).eps ** 3).sqrt()


def rescaled(leaf: Tensor, over: Over, wanted: Tensor | float) -> Tensor:
    """The leaf with the wanted norms; what is zero, up to rounding, stays as it is."""
    found = length(leaf, over)
    there = found > torch.finfo(leaf.dtype).eps ** 1.4
    return torch.where(there, leaf * (wanted / found), leaf)
