"""A matrix whose every entry has a recurrence of its own, and its derivative, never written out."""

import torch
from torch import Tensor

from miras.kernels import kernel, text
from miras.kernels.pages import empty, empty_like

SOURCE = text("entries.cpp")

SPAN = 16
"""As in the source: tokens from one kept state to the next."""

TILE = 4096
"""Numbers of the states that one item has, at most: with those of a span they stay in the cache.

The more heads, the longer are the runs of numbers that are read.
"""

Inputs = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor, Tensor, Tensor]
"""What rows and columns keep, what is erased (by row, by column), what is written, and queries."""


def _split(start: Tensor) -> tuple[int, int]:
    """Heads that one item has, and how many items there are: work for every thread."""
    batch, heads, rows, columns = start.shape
    wide = max(1, min(heads, TILE // (rows * columns)))
    while wide > 1 and batch * -(-heads // wide) < torch.get_num_threads():
        wide = -(-wide // 2)
    return wide, batch * -(-heads // wide)


def forward(
    inputs: Inputs, start: Tensor, before: bool, keep: bool
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Outputs, states at the start of every span, and the last state; None without a kernel.

    All inputs are `[batch, time, heads, rows or columns]`, read before or after the write. States
    of spans are there only if they are to be kept.
    """
    run = kernel(SOURCE, "forward", start)
    if run is None:
        return None
    batch, time, heads, rows = inputs[4].shape
    columns = start.shape[-1]
    output, end = empty_like(inputs[4]), empty_like(start)
    spans = -(-time // SPAN) if keep else 0
    kept = empty((batch, spans, heads, rows, columns), start)
    given = [None if each is None else each.contiguous() for each in inputs]
    wide, items = _split(start)
    sizes = (time, heads, rows, columns, int(before), wide)
    places = (output, kept if keep else None, end)
    run(*given, start.contiguous(), *places, *sizes, items=items)
    return output, kept, end


def backward(
    inputs: Inputs, kept: Tensor, above: Tensor, late: Tensor, before: bool
) -> tuple[list[Tensor | None], Tensor]:
    """Gradients of the inputs, and of the state before the first token.

    From those of the outputs, and of the last state.
    """
    run = kernel(SOURCE, "backward", kept)
    if run is None:
        raise RuntimeError("the kernel that ran forward is no longer there")
    _, time, heads, rows = inputs[4].shape
    given = [None if each is None else each.contiguous() for each in inputs]
    found = [None if each is None else empty_like(each) for each in given]
    carried = late.clone(memory_format=torch.contiguous_format)
    wide, items = _split(late)
    sizes = (time, heads, rows, kept.shape[-1], int(before), wide)
    places = (kept, above.contiguous(), carried)
    run(*given, *places, *found, *sizes, items=items)
    return found, carried
