"""Memories of one number per channel whose gates or values see the previous output."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from miras.architecture.vector import Vector
from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.channels import by_kernel
from miras.plans.layout import Layout, layout, rows, stacked, token

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Cell(Plan):
    """LSTM, GRU and their kin: tokens one by one, each with one product and a few maps of numbers.

    At one token every number of the state and of the output is a function of numbers in its own
    channel alone: its state before, what the input says, and sums R h over the previous output h.
    The input is laid out beforehand, and all R are one matrix. The derivative of a channel by its
    own numbers is found for a chunk of tokens at once, from outputs and states that were kept; then
    only sums and products are left to go back through time, token by token, and the gradients of
    all R are one product over the whole sequence. Where there is a kernel (`miras.kernels`) that
    has words for all gates, it takes both loops over tokens, on rows where they lie.

    Source: as in cuDNN's recurrent networks (arXiv 1604.01946), section 3.
    """

    kind: Literal["cell"] = "cell"
    complexity: ClassVar[str] = "O(value_dim²) per gate that sees the output, token by token"
    chunk: int = Field(default=32, ge=1, description="tokens whose derivatives are found together")

    def fits(self, memory: "Memory") -> bool:
        architecture, bias, step = memory.architecture, memory.bias, memory.stepping
        return (
            memory.recurrent
            and isinstance(architecture, Vector)
            and architecture.rotation is None
            and bias.plain
            and bias.linear
            and not bias.uses()
            and memory.retention.plain
            and memory.retention.identity_link
            and step is not None
            and step.plain
            and step.literal
            and (step.every, step.chunk) == (1, 1)
            and step.step_axis in ("scalar", "value")
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        # In the nanoseconds of `linear`.
        return 3000.0 + value_dim**2

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        laid = layout(memory, inputs)
        position = state.position + inputs.key.shape[1]
        fast = by_kernel(memory, laid, inputs, state.weights, state.output["output"])
        if fast is not None:
            last = {"output": fast[0][:, -1]}
            state = state._replace(position=position, weights=fast[1], output=last)
            return fast[0], state
        summed, given, matrix = rows(laid, inputs)
        summed, given = stacked(summed, inputs.value), stacked(given, inputs.value)
        start = torch.stack(list(state.weights.values()), dim=-2).transpose(0, 1)
        before = state.output["output"].transpose(0, 1)
        sources = (summed, given, matrix, start, before)
        output, end = cast(Any, _Run).apply(*sources, laid, self.chunk)[:2]
        weights = dict(zip(state.weights, end.transpose(0, 1).unbind(-2), strict=True))
        last = {"output": output[:, -1].transpose(0, 1)}
        state = state._replace(position=position, weights=weights, output=last)
        return output.permute(2, 1, 0, 3), state


_once: Any = once_differentiable  # it has no types


class _Run(Function):
    """Outputs `[heads, time, batch, value]`, the last states, and what its derivative needs."""

    @staticmethod
    def forward(
        drive: Tensor,
        given: Tensor,
        matrix: Tensor,
        start: Tensor,
        before: Tensor,
        laid: Layout,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        heads, time, batch, _, size = drive.shape
        summed = torch.empty_like(drive)
        output = drive.new_empty(heads, time, batch, size)
        states = drive.new_empty(heads, time, batch, start.shape[-2], size)
        product = drive.new_empty(heads, batch, matrix.shape[-1])
        added = product.view(heads, batch, -1, size)
        last, state = before, list(start.unbind(-2))
        for t in range(time):
            torch.bmm(last, matrix, out=product)
            row = torch.add(drive[:, t], added, out=summed[:, t])
            found, state = token(laid, row, given[:, t], state)
            last = output[:, t].copy_(found)
            for place, new in enumerate(state):
                states[:, t, :, place] = new
        return output, states[:, -1].clone(), summed, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, given, matrix, start, before, ctx.laid, ctx.chunk = inputs
        found, _, summed, states = output
        ctx.mark_non_differentiable(summed, states)
        ctx.save_for_backward(given, matrix, start, before, found, summed, states)

    @staticmethod
    @_once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given, matrix, start, before, output, summed, states = ctx.saved_tensors
        upstream, carried = gradients[:2]
        sources = (summed, given, matrix, start, states)
        mine, *others = _back(ctx.laid, ctx.chunk, *sources, upstream, carried)
        asked = torch.cat((before[:, None], output[:, :-1]), dim=1).flatten(1, 2)
        matrices = torch.bmm(asked.transpose(1, 2), mine.flatten(-2).flatten(1, 2))
        return mine, others[0], matrices, *others[1:], None, None


def _back(
    laid: Layout,
    chunk: int,
    summed: Tensor,
    given: Tensor,
    matrix: Tensor,
    start: Tensor,
    states: Tensor,
    upstream: Tensor,
    carried: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of both kinds of rows, and of states and output before the first token."""
    seen, more, time = summed.shape[-2], given.shape[-2], summed.shape[1]
    back = matrix.transpose(1, 2).contiguous()
    old = torch.cat((start[:, None], states[:, :-1]), dim=1)
    size = (seen + more + start.shape[-2], summed.shape[-1])
    found = summed.new_empty(*summed.shape[:3], *size)
    reached = torch.zeros_like(start[..., 0, :])
    for first in reversed(range(0, time, chunk)):
        part = slice(first, first + chunk)
        numbers = torch.cat((summed[:, part], given[:, part], old[:, part]), dim=-2)
        slopes = _slopes(laid, numbers, seen, more)
        for t in reversed(range(numbers.shape[1])):
            reached += upstream[:, first + t]
            pulled = torch.mul(slopes[0][:, t], reached[..., None, :], out=found[:, first + t])
            for place, slope in enumerate(slopes[1:]):
                pulled.addcmul_(slope[:, t], carried[..., place, None, :])
            carried = pulled[..., seen + more :, :]
            torch.bmm(pulled[..., :seen, :].flatten(-2), back, out=reached)
    return found[..., :seen, :], found[..., seen : seen + more, :], carried, reached


def _slopes(laid: Layout, numbers: Tensor, seen: int, more: int) -> list[Tensor]:
    """Derivatives by all rows: of the output, then of each state, every channel for itself."""
    numbers.requires_grad_()
    with torch.enable_grad():
        states = list(numbers[..., seen + more :, :].unbind(-2))
        ends = token(laid, numbers[..., :seen, :], numbers[..., seen : seen + more, :], states)
        found: list[Tensor] = []
        for end in (ends[0], *ends[1]):
            found += torch.autograd.grad(end.sum(), numbers, retain_graph=True)
    return found
