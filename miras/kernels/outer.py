"""Matrix memories of one row per token: a sequence and its derivative, each in one call.

What `miras.plans.outer` does chunk by chunk in PyTorch, with all of a chunk in the cache. On the
way back each chunk is done again from its start; rows are kept.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras.kernels import kernel, once, text
from miras.kernels.error import Compiled, numbers_of, of_error
from miras.kernels.pages import empty, empty_like

CHUNK = 32
"""Tokens per chunk; decays per channel are written for two halves of 16."""


class Reading(NamedTuple):
    """How a memory is written and read."""

    early: bool  # addresses are asked before the decay of their token
    looks: bool  # a row is the value minus the answer (or minus its error), not the value
    compiled: Compiled | None = None


class Tokens(NamedTuple):
    """What goes in; query, direction and address `[batch, time, heads, key_dim]`."""

    query: Tensor
    direction: Tensor  # what a row is written along, but for its size
    size: Tensor | None  # `[batch, time, heads]`
    address: Tensor | None  # the direction where none is given
    value: Tensor  # [batch, time, heads, value_dim]
    decay: Tensor | None  # one number per token or per key channel
    start: Tensor  # [batch, heads, value_dim, key_dim]
    gate: Tensor | None = None  # of the error map, `[batch, time, heads]`
    limit: Tensor | None = None
    carry: Tensor | None = None  # of a momentum, one number per token; addresses are asked early
    sums: Tensor | None = None  # the momentum, like `start`


@cache
def _source(expression: str | None) -> str:
    source = text(
        "products.hpp", "rows.hpp", "shares.hpp", "outer.hpp", "outer.cpp", "outer_back.cpp"
    )
    if expression is not None:
        length = int("n2" in expression)
        source = f"#define ERROR ({expression})\n#define LENGTH {length}\n{source}"
    return source


def _kernel(name: str, reading: Reading, like: Tensor) -> Callable[..., None] | None:
    expression = None if reading.compiled is None else reading.compiled.expression
    return kernel(_source(expression), name, like)


def available(reading: Reading, like: Tensor) -> bool:
    """Whether there is a kernel for tensors of this type and device."""
    return _kernel("outer_forward", reading, like) is not None


def outer(reading: Reading, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor | None]:
    """Answers `[batch, time, heads, value_dim]`, weights and momentum after the last token."""
    tensors = [None if each is None else each.contiguous() for each in tokens]
    if not torch.is_grad_enabled() or not any(x is not None and x.requires_grad for x in tensors):
        return _forward(reading, tensors, keep=False)[:3]
    return cast(Any, _Outer).apply(reading, *tensors)[:3]


def _forward(
    reading: Reading, tensors: Sequence[Tensor | None], keep: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]:
    """Answers and state at the end; to come back: rows, answers to addresses, all starts."""
    value, start = cast(Tensor, tensors[4]), cast(Tensor, tensors[6])
    function = _kernel("outer_forward", reading, value)
    assert function is not None
    batch, time, heads, _ = value.shape
    carry, sums = tensors[9:]
    found, end = empty_like(value), torch.empty_like(start)
    late = None if sums is None else torch.empty_like(sums)
    chunks = (time + CHUNK - 1) // CHUNK
    nothing = value.new_empty(0)
    rows = empty_like(value) if keep and reading.looks else nothing  # else the values
    answers = empty_like(value) if keep and reading.compiled is not None else nothing
    size = start.shape[3] * start.shape[2]
    shape = (batch * heads, chunks, size if sums is None else 2 * size)
    starts = empty(shape, start) if keep else nothing
    outputs = (found, *(each if each.numel() else None for each in (rows, answers, starts)), end)
    function(
        *tensors[:6],
        carry,
        *tensors[7:9],
        numbers_of(reading.compiled, value),
        start,
        sums,
        *outputs,
        late,
        *_numbers(reading, tensors),
        items=batch * heads,
    )
    return found, end, late, rows, answers, starts


def _numbers(reading: Reading, tensors: Sequence[Tensor | None]) -> tuple[int, ...]:
    query, value, decay = tensors[0], tensors[4], tensors[5]
    assert query is not None and value is not None
    channels = decay is not None and decay.ndim == 4
    _, time, heads, key_dim = query.shape
    flags = (int(reading.early), int(reading.looks), int(channels))
    return (time, heads, key_dim, value.shape[3], CHUNK, *flags)


class _Outer(Function):
    """The kernel and its derivative."""

    @staticmethod
    def forward(reading: Reading, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return _forward(reading, tensors, keep=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.reading = inputs[0]
        ctx.mark_non_differentiable(*output[3:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output[3:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        once()
        reading: Reading = ctx.reading
        *tensors, rows, answers, starts = ctx.saved_tensors
        value = tensors[4]
        above = torch.zeros_like(value) if gradients[0] is None else gradients[0].contiguous()
        ends = (None if each is None else each.contiguous() for each in gradients[1:3])
        found = [None if each is None else empty_like(each) for each in tensors]
        function = _kernel("outer_backward", reading, value)
        assert function is not None
        function(
            *tensors[:6],
            tensors[9],
            *tensors[7:9],
            numbers_of(reading.compiled, value),
            rows if reading.looks else value,
            answers if answers.numel() else None,
            starts,
            above,
            *ends,
            *(*found[:6], found[9], found[6], found[10]),
            *_numbers(reading, tensors),
            items=value.shape[0] * value.shape[2],
        )
        if not reading.looks and found[3] is not None:
            found[3].zero_()
        if reading.compiled is None:
            return None, *found
        given = (answers, value, tensors[7], tensors[8], cast(Tensor, found[4]))
        found[4], found[7], found[8] = of_error(reading.compiled, *given)
        return None, *found
