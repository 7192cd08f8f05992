"""A matrix whose every entry has a recurrence of its own, and its derivative, never written out."""

import torch
from torch import Tensor

from miras.kernels import kernel, text
from miras.kernels.pages import empty, empty_like

SOURCE = text("entries.cpp")

SPAN, TILE = 16, 2048
"""As in the source: tokens of a span, and numbers of a state that one item has."""

Inputs = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor, Tensor, Tensor]
"""What rows and columns keep, what is erased (by row, by column), what is written, and queries."""


def _items(start: Tensor) -> int:
    batch, heads, rows, columns = start.shape
    return batch * -(-heads // max(1, TILE // (rows * columns)))


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
    sizes = (time, heads, rows, columns, int(before))
    places = (output, kept if keep else None, end)
    run(*given, start.contiguous(), *places, *sizes, items=_items(start))
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
    sizes = (time, heads, rows, kept.shape[-1], int(before))
    places = (kept, above.contiguous(), carried)
    run(*given, *places, *found, *sizes, items=_items(late))
    return found, carried
