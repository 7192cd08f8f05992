"""Any error in chunks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd import Function

from miras.plans.chunked import gradients_of
from miras.plans.outer import Outer
from miras.plans.rows import Rows, erasing, erasing_twice

if TYPE_CHECKING:
    from miras.memory import Memory


class Substitution(Outer):
    """Errors that are no linear function: the chunk's rows are found one after the other.

    u_i = -error(known_i + sum_j<i gram_ij u_j): forward substitution through the triangle that the
    delta rule solves at once. A row costs O(chunk value_dim); no weights are formed per token. Its
    derivative is the substitution backwards, through the slopes of the error map at the answers.

    Source: own derivation, from the triangular form of DeltaNet (arXiv 2406.06484), section 3.2.
    """

    kind: Literal["substitution"] = "substitution"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim), row by row"

    def fits(self, memory: "Memory") -> bool:
        looks = memory.bias.residual and not memory.retention.removes
        return super().fits(memory) and looks

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e6

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        extra = {"limit": rows.limit, "step": rows.step}
        given = rows.gates | {name: each for name, each in extra.items() if each is not None}
        error = _Error(memory, tuple(given))
        inputs = (known, gram, rows.value, *given.values())
        if not torch.is_grad_enabled():
            return _Substituted.forward(error, *inputs)
        return cast(Any, _Substituted).apply(error, *inputs)


class _Error:
    """u of rows `[batch, heads, C, value_dim]` from their answers: minus error, times step."""

    def __init__(self, memory: "Memory", names: tuple[str, ...]) -> None:
        self.bias, self.names = memory.bias, names
        self.erases = erasing(memory) and not erasing_twice(memory)
        self.per_token = {use.name for use in memory.bias.uses()} | {"limit", "step"}

    def __call__(self, answer: Tensor, value: Tensor, given: Sequence[Tensor]) -> Tensor:
        gates = dict(zip(self.names, given, strict=True))
        limit, step = gates.pop("limit", None), gates.pop("step", None)
        row = -self.bias.error(answer, value, gates, limit)
        row = row - answer if self.erases else row
        return row if step is None else row * step

    def part(self, given: Sequence[Tensor], first: int, last: int) -> list[Tensor]:
        """What belongs to the rows from `first` up to `last`."""
        return [
            each[:, :, first:last] if name in self.per_token else each
            for name, each in zip(self.names, given, strict=True)
        ]


def _forwards(error: _Error, known: Tensor, gram: Tensor, value: Tensor, *given: Tensor) -> Tensor:
    """All rows, each from those before it, as a graph that can be differentiated again."""
    found: list[Tensor] = []
    rows = known[:, :, :0]
    for i in range(known.shape[2]):
        answer = known[:, :, i : i + 1]
        if i:
            answer = answer + gram[:, :, i : i + 1, :i] @ rows
        found.append(error(answer, value[:, :, i : i + 1], error.part(given, i, i + 1)))
        rows = torch.cat(found, dim=2)
    return rows


class _Substituted(Function):
    """The substitution, and the one backwards that is its derivative."""

    @staticmethod
    def forward(error: _Error, *inputs: Tensor) -> Tensor:
        known, gram, value, *given = inputs
        rows = torch.empty_like(known)
        for i in range(known.shape[2]):
            answer = known[:, :, i : i + 1]
            if i:
                answer = answer + gram[:, :, i : i + 1, :i] @ rows[:, :, :i]
            part = error.part(given, i, i + 1)
            rows[:, :, i : i + 1] = error(answer, value[:, :, i : i + 1], part)
        return rows

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.error = inputs[0]
        ctx.save_for_backward(*inputs[1:], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        error: _Error = ctx.error
        (upstream,) = gradients
        *inputs, rows = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # asked for derivatives of derivatives
            sources = [tensor for tensor, asked in zip(inputs, wanted, strict=True) if asked]
            again = _forwards(error, *inputs)
            found = iter(gradients_of((again,), sources, (upstream,), create_graph=True))
        else:
            known, gram, value, *given = inputs
            answers = known + gram.tril(-1) @ rows
            towards, beside = _backwards(error, answers, gram, value, given, upstream)
            of_gram = (towards @ rows.mT).tril(-1)
            every = (towards, of_gram, *beside)
            found = (each for each, asked in zip(every, wanted, strict=True) if asked)
        return None, *(next(found) if asked else None for asked in wanted)


def _backwards(
    error: _Error,
    answers: Tensor,
    gram: Tensor,
    value: Tensor,
    given: Sequence[Tensor],
    upstream: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the answers, and of targets and gates, from the last row on."""
    count = answers.shape[2]
    pieces, each = list[Tensor](), list[Tensor]()
    sources = [tensor.detach().requires_grad_() for tensor in (value, *given)]
    with torch.enable_grad():
        answers = answers.detach().requires_grad_()
        if error.bias.coordinate_wise:
            rows = error(answers, sources[0], sources[1:])
            one = torch.ones_like(answers)
            (slope,) = torch.autograd.grad(rows, answers, one, retain_graph=True)
        else:
            slope, pieces = answers, list(cast(Any, answers).split(1, dim=2))
            each = [
                error(piece, sources[0][:, :, i : i + 1], error.part(sources[1:], i, i + 1))
                for i, piece in enumerate(pieces)
            ]
            rows = torch.cat(each, dim=2)
    total, towards = upstream.clone(), torch.zeros_like(upstream)
    back = gram.mT
    for i in reversed(range(count)):
        now = total[:, :, i : i + 1]
        if i + 1 < count:
            now += back[:, :, i : i + 1, i + 1 :] @ towards[:, :, i + 1 :]
        if each:
            (through,) = torch.autograd.grad(each[i], pieces[i], now, retain_graph=True)
        else:
            through = slope[:, :, i : i + 1] * now
        towards[:, :, i : i + 1] = through
    return towards, list(gradients_of((rows,), sources, (total,)))
