"""x_t = keep_t x_{t-1} + write_t, entry by entry.

One multiply-add per token, outside the graph of gradients, by a kernel or in place. That reads and
writes each number once; tree and chunk forms of the scan need three passes and were slower at every
size from 2 thousand to 16 million numbers on a CPU.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras.kernels import recurrence as kernels


def recurrence(keep: Tensor, write: Tensor, start: Tensor) -> Tensor:
    """All x_t `[batch, time, ...]`; `keep` broadcasts to `write`, `start [batch, ...]` is x_0."""
    keep = keep.expand(keep.shape[0], write.shape[1], *keep.shape[2:])
    return _apply(keep, write, start.expand_as(write[:, 0]), backwards=False)


class _Recurrence(Function):
    """The recurrence, or, backwards in time, x_t = keep_t x_{t+1} + write_t: its own derivative."""

    @staticmethod
    def forward(keep: Tensor, write: Tensor, start: Tensor, backwards: bool) -> Tensor:
        fast = None if backwards else kernels.forward(keep, write, start)
        if fast is not None:
            return fast
        found = torch.empty_like(write, memory_format=torch.contiguous_format)
        steps = list(zip(keep.unbind(1), write.unbind(1), found.unbind(1), strict=True))
        last = start
        for kept, written, place in reversed(steps) if backwards else steps:
            last = torch.addcmul(written, kept, last, out=place)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        keep, _, start, ctx.backwards = inputs
        ctx.save_for_backward(keep, start, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        keep, start, found = ctx.saved_tensors
        (gradient,) = gradients
        if not (ctx.backwards or torch.is_grad_enabled()):  # no derivative of this one is asked for
            fast = kernels.backward(keep, start, found, gradient)
            if fast is not None:
                return *fast, None
        keep, found, start = (each.conj().resolve_conj() for each in (keep, found, start))
        # What reaches x_t from later tokens went through the multiplier of the next one.
        if ctx.backwards:
            following = torch.cat((torch.zeros_like(keep[:, :1]), keep[:, :-1]), dim=1)
            before = torch.cat((found[:, 1:], start[:, None]), dim=1)
            first = slice(-1, None)
        else:
            following = torch.cat((keep[:, 1:], torch.zeros_like(keep[:, :1])), dim=1)
            before = torch.cat((start[:, None], found[:, :-1]), dim=1)
            first = slice(0, 1)
        write = _apply(following, gradient, torch.zeros_like(start), not ctx.backwards)
        kept: Any = write * before
        kept = kept.sum_to_size(keep.shape) if ctx.needs_input_grad[0] else None
        return kept, write, (keep[:, first] * write[:, first])[:, 0], None


def _apply(keep: Tensor, write: Tensor, start: Tensor, backwards: bool) -> Tensor:
    return cast(Any, _Recurrence).apply(keep, write, start, backwards)
