"""Matrix memories of one row per token: a sequence and its derivative, each in one call.

What `miras.plans.outer` does chunk by chunk in PyTorch, with all of a chunk in the cache. On the
way back each chunk is done again from its start; rows are kept.
"""

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras.kernels import kernel

CHUNK = 32
"""Tokens per chunk; decays per channel are written for two halves of 16."""


class Reading(NamedTuple):
    """How a memory is written and read."""

    early: bool  # addresses are asked before the decay of their token
    looks: bool  # a row is the value minus the answer, not the value


@cache
def _source() -> str:
    names = ("products.hpp", "outer.hpp", "outer.cpp", "outer_back.cpp")
    return "\n".join((files("miras.kernels") / name).read_text(encoding="utf-8") for name in names)


def available(like: Tensor) -> bool:
    """Whether there is a kernel for tensors of this type and device."""
    return kernel(_source(), "outer_forward", like) is not None


def outer(
    reading: Reading,
    query: Tensor,
    along: Tensor,
    step: Tensor | None,
    address: Tensor | None,
    value: Tensor,
    decay: Tensor | None,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """Answers `[batch, time, heads, value_dim]`, and the weights after the last token.

    query, along, address `[batch, time, heads, key_dim]`; the address is `along` where none is
    given, and `step [batch, time, heads]` multiplies `along` alone. `decay` has one number per
    token or one per key channel; start `[batch, heads, value_dim, key_dim]`.
    """
    given = (query, along, step, address, value, decay, start)
    tensors = [None if each is None else each.contiguous() for each in given]
    wanted = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)
    if not wanted:
        found, _, _, end = _forward(reading, *tensors, keep=False)
        return found, end
    found, end, _, _ = cast(Any, _Outer).apply(reading, *tensors)
    return found, end


def _forward(
    reading: Reading, *tensors: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    value, start = cast(Tensor, tensors[4]), cast(Tensor, tensors[6])
    function = kernel(_source(), "outer_forward", value)
    assert function is not None
    batch, time, heads, _ = value.shape
    found, end = torch.empty_like(value), torch.empty_like(start)
    chunks = (time + CHUNK - 1) // CHUNK
    rows = torch.empty_like(value) if keep else None
    shape = (batch * heads, chunks, start.shape[3], start.shape[2])
    starts = start.new_empty(shape) if keep else None
    numbers = _numbers(reading, tensors)
    function(*tensors, found, rows, starts, end, *numbers, items=batch * heads)
    return found, rows, starts, end


def _numbers(reading: Reading, tensors: tuple[Tensor | None, ...]) -> tuple[int, ...]:
    query, value, decay = tensors[0], tensors[4], tensors[5]
    assert query is not None and value is not None
    channels = decay is not None and decay.ndim == 4
    _, time, heads, key_dim = query.shape
    flags = (int(reading.early), int(reading.looks), int(channels))
    return (time, heads, key_dim, value.shape[3], CHUNK, *flags)


class _Outer(Function):
    """The kernel and its derivative."""

    @staticmethod
    def forward(reading: Reading, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        found, rows, starts, end = _forward(reading, *tensors, keep=True)
        assert rows is not None and starts is not None
        return found, end, rows, starts

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.reading = inputs[0]
        ctx.mark_non_differentiable(output[2], output[3])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], output[2], output[3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a compiled kernel has no derivative of its derivative: set MIRAS_KERNELS=0 in the"
                " environment where you need one"
            )
        *tensors, rows, starts = ctx.saved_tensors
        value = tensors[4]
        above = torch.zeros_like(value) if gradients[0] is None else gradients[0].contiguous()
        late = None if gradients[1] is None else gradients[1].contiguous()
        found = [None if each is None else torch.empty_like(each) for each in tensors]
        function = kernel(_source(), "outer_backward", value)
        assert function is not None
        numbers = _numbers(ctx.reading, tuple(tensors))
        items = value.shape[0] * value.shape[2]
        function(*tensors[:6], rows, starts, above, late, *found, *numbers, items=items)
        if not ctx.reading.looks and found[3] is not None:
            found[3].zero_()
        return None, *found
