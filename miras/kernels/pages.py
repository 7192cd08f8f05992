"""Large results in large pages.

A fresh tensor of a hundred megabytes is 32 thousand pages of the system, and the first touch of
each costs as much as computing what goes there. Where the system has pages of two megabytes for
those who ask, we ask.
"""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

LARGE = 2**21
"""Bytes of a large page; tensors smaller than two of them are left alone."""

_ADVICE = 14  # MADV_HUGEPAGE of Linux


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """A new contiguous tensor with the type and device of another."""
    found = like.new_empty(shape)
    size, advise = found.numel() * found.element_size(), _advise()
    if size >= 2 * LARGE and advise is not None and found.device.type == "cpu":
        first = -(-found.data_ptr() // LARGE) * LARGE
        last = (found.data_ptr() + size) // LARGE * LARGE
        advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _ADVICE)  # may be refused
    return found


def empty_like(like: Tensor) -> Tensor:
    """As `empty`, of the same shape."""
    return empty(like.shape, like)


@cache
def _advise() -> Any:
    try:
        return ctypes.CDLL(None).madvise if sys.platform == "linux" else None
    except (AttributeError, OSError, TypeError):
        return None
