"""Memories of one number per channel by a kernel that reads their rows where they lie."""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras import kernels as compiled
from miras.definition import Prepared
from miras.kernels import cell as kernels
from miras.kernels.pages import empty_like
from miras.plans.layout import Layout, rows
from miras.token import Weights

if TYPE_CHECKING:
    from miras.memory import Memory


def by_kernel(
    memory: "Memory", laid: Layout, inputs: Prepared, weights: Weights, before: Tensor | None
) -> tuple[Tensor, Weights] | None:
    """Outputs and the last weights, or None where there is no kernel for this memory.

    `before [batch, heads, value]` is the output before the first token, for those that see it.
    """
    if laid.program is None:
        return None
    sources = (inputs.value, *inputs.gates.values(), *inputs.constants.values(), *weights.values())
    if compiled.kernel(kernels.SOURCE, "forward", *sources) is None:
        return None
    seen, given, matrix = rows(laid, inputs)
    size, heads = inputs.value.shape[-1], inputs.value.shape[2]
    start = torch.stack(list(weights.values()), dim=-2)
    apart = bool(seen)
    if not apart:  # nothing ties the channels of a head together: all heads are one
        given = [row.flatten(2).unsqueeze(2) for row in given]
        start = start.transpose(1, 2).flatten(2).unsqueeze(1)
    before = start[..., 0, :] if before is None else before
    every = [row if row.stride(-1) == 1 else row.contiguous() for row in (*seen, *given)]
    tensors = (matrix, start, before, *every)
    if torch.is_grad_enabled() and any(each.requires_grad for each in tensors):
        output, end, *_ = cast(Any, _Channels).apply(laid.program, len(seen), *tensors)
    else:
        output, end, *_ = _forward(laid.program, len(seen), *tensors)
    if not apart:
        output = output.view(*output.shape[:2], heads, size)
        end = end.view(end.shape[0], -1, heads, size).transpose(1, 2)
    return output, dict(zip(weights, end.unbind(-2), strict=True))


def _rows(
    seen: int, matrix: Tensor, start: Tensor, before: Tensor, every: tuple[Tensor, ...]
) -> kernels.Rows:
    return kernels.Rows(every[:seen], every[seen:], matrix, start, before)


def _forward(
    program: kernels.Program,
    seen: int,
    matrix: Tensor,
    start: Tensor,
    before: Tensor,
    *every: Tensor,
) -> tuple[Tensor, ...]:
    """Outputs, the last states, and for the way back sums and all states."""
    found = kernels.forward(program, _rows(seen, matrix, start, before, every))
    if found is None:
        raise RuntimeError("there was a kernel a moment ago")
    return found.output, found.end, found.summed, found.states


class _Channels(Function):
    """The kernel and its derivative."""

    @staticmethod
    def forward(program: kernels.Program, seen: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _forward(program, seen, *tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.program, ctx.seen, *tensors = inputs
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)  # zeros for sums and states would be as large as they are
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        compiled.once()
        *tensors, output, end, summed, states = ctx.saved_tensors
        matrix, start, before, *every = tensors
        sources = _rows(ctx.seen, matrix, start, before, tuple(every))
        found = kernels.Found(output, end, summed, states)
        above, late = gradients[:2]
        above = torch.zeros_like(output) if above is None else above
        late = torch.zeros_like(end) if late is None else late
        mine, given, carried, reached = kernels.backward(ctx.program, sources, found, above, late)
        if not ctx.seen:
            return None, None, None, carried, None, *given
        asked = empty_like(output)
        asked[:, 0], asked[:, 1:] = before, output[:, :-1]
        # [heads, batch and time, ...]
        asked, sums = (
            each.flatten(3).flatten(0, 1).transpose(0, 1) for each in (asked[..., None], mine)
        )
        matrices = torch.bmm(asked.transpose(1, 2), sums)
        return None, None, matrices, carried, reached, *mine.unbind(3), *given
