"""The error map of an attentional bias in C++, see rows.hpp, and its derivatives in PyTorch."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor


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
    """Gradients of targets, gate and limit from those of the rows, which are minus the errors."""
    leaves = [None if x is None else x.detach().requires_grad_() for x in (value, gate, limit)]
    with torch.enable_grad():
        rows = -compiled.error(answers, cast(Tensor, leaves[0]), leaves[1], leaves[2])
    sources = [leaf for leaf in leaves if leaf is not None]
    found = iter(torch.autograd.grad(rows, sources, above, materialize_grads=True))
    return [None if leaf is None else next(found) for leaf in leaves]
