"""The error map of an attentional bias in C++, see rows.hpp, and its derivatives in PyTorch."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

TOGETHER = 1024
"""Tokens whose errors are differentiated together."""


class Compiled(NamedTuple):
    """An error map in C++, and the same in PyTorch."""

    expression: str
    numbers: tuple[float, ...]
    error: Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


def numbers_of(compiled: Compiled | None, like: Tensor) -> Tensor | None:
    """What the expression calls p."""
    if compiled is None:
        return None
    return like.new_tensor([*compiled.numbers, 0.0, 0.0, 0.0, 0.0][:4])


def of_error(
    compiled: Compiled,
    answers: Tensor,
    value: Tensor,
    gate: Tensor | None,
    limit: Tensor | None,
    above: Tensor,
) -> list[Tensor | None]:
    """Gradients of targets, gate and limit from those of the rows, which are minus the errors.

    `[batch, time, ...]` each; a part of the tokens at a time, so that what lies between needs no
    more room than they do.
    """
    given = (value, gate, limit)
    found = [None if each is None else torch.empty_like(each) for each in given]
    for first in range(0, value.shape[1], TOGETHER):
        part = slice(first, first + TOGETHER)
        leaves = [None if x is None else x[:, part].detach().requires_grad_() for x in given]
        with torch.enable_grad():
            errors = compiled.error(answers[:, part], cast(Tensor, leaves[0]), leaves[1], leaves[2])
        sources = [leaf for leaf in leaves if leaf is not None]
        made = torch.autograd.grad(errors, sources, -above[:, part], materialize_grads=True)
        into = [each for each in found if each is not None]
        for each, gradient in zip(into, made, strict=True):
            each[:, part] = gradient
    return found
