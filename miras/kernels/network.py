"""Deep memories with gradients at the start of each chunk: a sequence, or its derivative, per call.

What `miras.plans.frozen` does chunk by chunk in PyTorch, with all of a chunk in the cache. Every 64
tokens the state is kept, and on the way back chunks are done again from it.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras.kernels import kernel, once, text
from miras.kernels.activation import KINDS
from miras.kernels.error import Compiled, numbers_of, of_error
from miras.kernels.pages import empty, empty_like

NORMS = ("none", "layer", "rms")

APART = 64
"""Tokens from one start that is kept to the next."""


class Form(NamedTuple):
    """The network and the chunk."""

    sizes: tuple[int, ...]  # of the key, the hidden layers and the value
    activation: str
    norm: str
    offset: bool  # the last matrix has one more column, which meets a 1
    residual: bool
    looks: bool  # an error is of the answer, or minus the value whatever the answer
    chunk: int
    compiled: Compiled | None  # None: the error is the answer minus the value

    @property
    def every(self) -> int:
        """Chunks of which the first one's start is kept: states are larger than their tokens."""
        return max(1, APART // self.chunk)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the matrices."""
        inputs, outputs = list(self.sizes[:-1]), self.sizes[1:]
        inputs[-1] += int(self.offset)
        return list(zip(outputs, inputs, strict=True))


class Tokens(NamedTuple):
    """What goes in."""

    query: Tensor  # [batch, time, heads, key_dim]
    key: Tensor
    value: Tensor
    step: Tensor  # [batch, time, heads]
    decay: Tensor | None
    carry: Tensor | None  # of the momentum; None: there is none
    gain: Tensor | None  # [heads, value_dim]
    shift: Tensor | None
    start: Tensor  # [batch, heads, entries], matrices one after the other
    sums: Tensor | None  # the momentum, in the same way
    gate: Tensor | None = None  # of the error map, [batch, time, heads]


STATE = 8
"""Tensors of tokens, before those of the state."""


HEADERS = ("products.hpp", "functions.hpp", "activations.hpp", "rows.hpp", "shares.hpp")


@cache
def _source(expression: str | None) -> str:
    names = ("network.hpp", "network_error.hpp", "network_chunk.hpp", "network_back.hpp")
    source = text(*HEADERS, *names)
    source += text("network.cpp")
    if expression is not None:
        length = int("n2" in expression)
        source = f"#define ERROR ({expression})\n#define LENGTH {length}\n{source}"
    return source


def _kernel(name: str, form: Form, like: Tensor) -> Callable[..., None] | None:
    expression = None if form.compiled is None else form.compiled.expression
    return kernel(_source(expression), name, like)


def available(form: Form, like: Tensor) -> bool:
    """Whether there is a kernel for tensors of this type and device."""
    return _kernel("network_forward", form, like) is not None


def network(form: Form, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Answers `[batch, time, heads, value_dim]`, and state.

    That is the matrices before the last chunk and after the last token, and the momentum then.
    """
    tensors = [None if each is None else each.contiguous() for each in tokens]
    if not torch.is_grad_enabled() or not any(x is not None and x.requires_grad for x in tensors):
        return _forward(form, tensors, keep=False)[:4]
    return cast(Any, _Network).apply(form, *tensors)[:4]


def _forward(
    form: Form, tensors: Sequence[Tensor | None], keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor, Tensor]:
    """Answers and state at the end; to come back: what keys were answered, and all starts."""
    value, start, sums = cast(Tensor, tensors[2]), cast(Tensor, tensors[8]), tensors[9]
    function = _kernel("network_forward", form, value)
    assert function is not None
    batch, time, heads, _ = value.shape
    found, anchor, end = (empty_like(each) for each in (value, start, start))
    late = None if sums is None else empty_like(sums)
    nothing = value.new_empty(0)
    answers = empty_like(value) if keep and form.compiled is not None else nothing
    kept = -(-time // (form.chunk * form.every))
    wide = 64 // value.element_size()  # numbers that a row of a matrix is padded to
    state = sum(max(shape) * (-(-min(shape) // wide) * wide) for shape in form.shapes)
    state *= 1 if sums is None else 2
    starts = empty((batch * heads, kept, state), value) if keep else nothing
    function(
        *tensors[:STATE],
        tensors[10],
        numbers_of(form.compiled, value),
        *(start, sums, found),
        *(each if each.numel() else None for each in (answers, starts)),
        *(end, late, anchor),
        *_numbers(form, value),
        items=batch * heads,
    )
    return found, anchor, end, late, answers, starts


def _numbers(form: Form, value: Tensor) -> tuple[Any, ...]:
    sizes = (ctypes.c_int64 * len(form.sizes))(*form.sizes)
    kinds = (KINDS.index(form.activation), NORMS.index(form.norm))
    flags = (int(form.offset), int(form.residual), int(form.looks))
    return sizes, len(form.sizes) - 1, *value.shape[1:3], form.chunk, form.every, *kinds, *flags


class _Network(Function):
    """The kernel and its derivative."""

    @staticmethod
    def forward(form: Form, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return _forward(form, tensors, keep=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.form = inputs[0]
        ctx.mark_non_differentiable(*output[4:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output[4:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        once()
        form: Form = ctx.form
        *tensors, answers, starts = ctx.saved_tensors
        value, gate = tensors[2], tensors[10]
        above = torch.zeros_like(value) if gradients[0] is None else gradients[0].contiguous()
        anchor, *ends = (None if each is None else each.contiguous() for each in gradients[1:4])
        found = [None if each is None else empty_like(each) for each in tensors[:10]]
        per_batch = (value.shape[0], *value.shape[2:])
        for place in (6, 7):  # gain and shift are of all sequences
            if found[place] is not None:
                found[place] = value.new_empty(per_batch)
        function = _kernel("network_backward", form, value)
        assert function is not None
        function(
            *tensors[:STATE],
            gate,
            numbers_of(form.compiled, value),
            *(starts, above, *ends, anchor),
            *found,
            *_numbers(form, value),
            items=value.shape[0] * value.shape[2],
        )
        for place in (6, 7):
            if (each := found[place]) is not None:
                found[place] = each.sum(0)
        of_gate = None
        if form.compiled is not None:
            given = (answers, value, gate, None, cast(Tensor, found[2]))
            found[2], of_gate, _ = of_error(form.compiled, *given)
        return None, *found, of_gate
