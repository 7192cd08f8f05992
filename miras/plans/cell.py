"""Memories of one number per channel whose gates or values see the previous output."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from miras.architecture.vector import Vector
from miras.definition import Prepared
from miras.gate import Use
from miras.plans import Plan

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
    all R are one product over the whole sequence.

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
        layout = _layout(memory, inputs)
        summed, given, matrix = _rows(layout, inputs)
        start = torch.stack(list(state.weights.values()), dim=-2).transpose(0, 1)
        before = state.output["output"].transpose(0, 1)
        sources = (summed, given, matrix, start, before)
        output, end = cast(Any, _Run).apply(*sources, layout, self.chunk)[:2]
        weights = dict(zip(state.weights, end.transpose(0, 1).unbind(-2), strict=True))
        position = state.position + inputs.key.shape[1]
        last = {"output": output[:, -1].transpose(0, 1)}
        state = state._replace(position=position, weights=weights, output=last)
        return output.permute(2, 1, 0, 3), state


class Layout(NamedTuple):
    """What stands in which row of a channel's numbers."""

    memory: "Memory"
    sigmoids: int  # the first rows are sums of gates with a sigmoid
    summed: tuple[str, ...]  # rows to which R h is added
    given: tuple[str, ...]  # rows that the input alone gives
    fixed: dict[str, Tensor]  # gates that are one number
    divisor: float  # of the step


def _layout(memory: "Memory", inputs: Prepared) -> Layout:
    architecture, step = memory.architecture, memory.stepping
    assert isinstance(architecture, Vector) and step is not None
    seeing = [use for use in memory.uses if use.gate.recurrent]
    sigmoids = [use.name for use in seeing if _is_sigmoid(use)]
    summed = sigmoids + [use.name for use in seeing if not _is_sigmoid(use)]
    summed += ["candidate"] if architecture.recurrence else []
    given = [use.name for use in memory.uses if use.gate.own and not use.gate.recurrent]
    if architecture.reset is not None or not architecture.recurrence:
        given.append("value")
    given += ["bonus"] if architecture.bonus else []
    numbers = {use.name: use.gate.fixed for use in memory.uses if use.gate.fixed is not None}
    fixed = {name: inputs.value.new_tensor(number) for name, number in numbers.items()}
    divisor = inputs.key.shape[-1] if step.scale == "key_dim" else 1
    return Layout(memory, len(sigmoids), tuple(summed), tuple(given), fixed, divisor)


def _is_sigmoid(use: Use) -> bool:
    return getattr(use.gate, "activation", None) == "sigmoid"


def _rows(layout: Layout, inputs: Prepared) -> tuple[Tensor, Tensor, Tensor]:
    """The input in two parts `[heads, time, batch, rows, value]`, and all R side by side."""
    batch, time, heads, size = inputs.value.shape
    known = inputs.gates | inputs.constants | {"value": inputs.value}
    if "bonus" in known:
        known["bonus"] = known["bonus"].exp()
    known["candidate"] = known.get("recurrence_shift", inputs.value)

    def rows(names: tuple[str, ...]) -> Tensor:
        found: list[Tensor] = []
        for name in names:
            row = known[name]
            row = row[..., None] if row.ndim == 3 else row  # one number per head and token
            found.append(row.expand(batch, time, heads, size).permute(2, 1, 0, 3))
        if not found:
            return inputs.value.new_empty(heads, time, batch, 0, size)
        return torch.stack(found, dim=-2)

    matrices = [
        known["recurrence" if name == "candidate" else f"{name}_recurrence"]
        for name in layout.summed
    ]
    matrices = [matrix.expand(heads, size, size).transpose(1, 2) for matrix in matrices]
    return rows(layout.summed), rows(layout.given), torch.cat(matrices, dim=-1)


def _token(
    layout: Layout, summed: Tensor, given: Tensor, states: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Output and new states of channels, from their rows `[..., rows, value]` and old states."""
    memory, step = layout.memory, layout.memory.stepping
    architecture = cast(Vector, memory.architecture)
    assert step is not None
    known = dict(zip(layout.given, given.unbind(-2), strict=True))
    known |= dict(zip(layout.summed, summed.unbind(-2), strict=True))
    opened = summed[..., : layout.sigmoids, :].sigmoid().unbind(-2)
    known |= dict(zip(layout.summed, opened, strict=False))
    gates = _gates(layout, known)

    value = known["value"] if "value" in known else known["candidate"]
    if architecture.reset is not None and architecture.recurrence:
        value = torch.addcmul(value, gates["reset"], known["candidate"])
    value = value.tanh() if architecture.recurrence else value
    raw = gates["step_value" if step.step_axis == "value" else "step"]
    size = raw if layout.divisor == 1 else raw / layout.divisor
    if step.step_axis == "scalar":
        size = step.effective(size, torch.ones_like(size))
    keep = gates.get("decay_value", gates.get("decay"))
    if memory.bias.residual:
        if keep is None:
            keep = 1 - size
        else:
            keep = keep * (1 - size) if step.gradient_at == "retained" else keep - size
    pairs = zip((size * value, size), states, strict=False)
    states = [
        write + old if keep is None else torch.addcmul(write, keep, old) for write, old in pairs
    ]
    read = states
    if architecture.bonus:
        strength = raw * known["bonus"]
        pairs = zip((strength * value, strength), states, strict=False)
        read = [state + more for more, state in pairs]
    output = read[0] / read[1].clamp_min(1e-12) if architecture.normaliser else read[0]
    output = output.tanh() if architecture.squash else output
    return gates["output"] * output if architecture.output is not None else output, states


def _gates(layout: Layout, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """All gates as numbers, as in `Memory.resolve`."""
    gates: dict[str, Tensor] = {}
    for use in layout.memory.uses:
        if use.name in layout.fixed:
            gate = layout.fixed[use.name]
        elif use.gate.derived:
            decay = gates[use.name.replace("step", "decay")]
            gate = use.gate.derive(decay, known.get(use.name))
        elif use.gate.recurrent and not _is_sigmoid(use):
            gate = use.gate.activate(known[use.name])
        else:
            gate = known[use.name]
        gates[use.name] = gate.clamp_min(use.low) if use.low > 0 else gate
    return gates


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
        layout: Layout,
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
            found, state = _token(layout, row, given[:, t], state)
            last = output[:, t].copy_(found)
            for place, new in enumerate(state):
                states[:, t, :, place] = new
        return output, states[:, -1].clone(), summed, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, given, matrix, start, before, ctx.layout, ctx.chunk = inputs
        found, _, summed, states = output
        ctx.mark_non_differentiable(summed, states)
        ctx.save_for_backward(given, matrix, start, before, found, summed, states)

    @staticmethod
    @_once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given, matrix, start, before, output, summed, states = ctx.saved_tensors
        upstream, carried = gradients[:2]
        seen, more = summed.shape[-2], given.shape[-2]
        time, size = summed.shape[1], summed.shape[-1]
        back = matrix.transpose(1, 2).contiguous()
        old = torch.cat((start[:, None], states[:, :-1]), dim=1)
        rows = seen + more + start.shape[-2]
        found = summed.new_empty(*summed.shape[:3], rows, size)
        reached = torch.zeros_like(before)
        for first in reversed(range(0, time, ctx.chunk)):
            part = slice(first, first + ctx.chunk)
            rows = torch.cat((summed[:, part], given[:, part], old[:, part]), dim=-2)
            slopes = _slopes(ctx.layout, rows, seen, more)
            for t in reversed(range(rows.shape[1])):
                reached += upstream[:, first + t]
                pulled = torch.mul(slopes[0][:, t], reached[..., None, :], out=found[:, first + t])
                for place, slope in enumerate(slopes[1:]):
                    pulled.addcmul_(slope[:, t], carried[..., place, None, :])
                carried = pulled[..., seen + more :, :]
                torch.bmm(pulled[..., :seen, :].flatten(-2), back, out=reached)
        asked = torch.cat((before[:, None], output[:, :-1]), dim=1)
        pulled = found[..., :seen, :].flatten(-2).flatten(1, 2)
        matrices = torch.bmm(asked.flatten(1, 2).transpose(1, 2), pulled)
        mine, given = found[..., :seen, :], found[..., seen : seen + more, :]
        return mine, given, matrices, carried, reached, None, None


def _slopes(layout: Layout, rows: Tensor, seen: int, more: int) -> list[Tensor]:
    """Derivatives by all rows: of the output, then of each state, every channel for itself."""
    rows.requires_grad_()
    with torch.enable_grad():
        states = list(rows[..., seen + more :, :].unbind(-2))
        ends = _token(layout, rows[..., :seen, :], rows[..., seen : seen + more, :], states)
        found: list[Tensor] = []
        for end in (ends[0], *ends[1]):
            found += torch.autograd.grad(end.sum(), rows, retain_graph=True)
    return found
