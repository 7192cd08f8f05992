"""Matrices whose entries have recurrences of their own, by a kernel that never writes them out."""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras import kernels
from miras.architecture.matrix import Matrix
from miras.definition import Prepared
from miras.kernels import entries
from miras.optimizer.implicit_diagonal import ImplicitDiagonal
from miras.surprise import multipliers, senses, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory


def by_kernel(memory: "Memory", inputs: Prepared, start: Tensor) -> tuple[Tensor, Tensor] | None:
    """Outputs and the last matrix of a memory that `scan` fits, or None where there is no kernel.

    W_t = W_{t-1} ⊙ (a c^T) ⊙ (1 - d e^T) + u b^T, read with q.
    """
    step = memory.stepping
    if not isinstance(memory.architecture, Matrix) or step is None:
        return None
    key, value, gates = inputs.key, inputs.value, inputs.gates | inputs.constants
    tensors = (start, inputs.query, key, value, *gates.values())
    if kernels.kernel(entries.SOURCE, "forward", *tensors) is None:
        return None
    decays = multipliers("decay", gates)
    row, column, erased, along = decays.get("value"), decays.get("key"), None, None
    if "" in decays:
        every = decays[""][..., None]
        row = every.expand_as(value) if row is None else row * every
    sensitivity = memory.architecture.sensitivity({}, key, gates) if senses(step) else key[..., 0]
    steps = step_sizes(step, gates, sensitivity, key.shape[-1])
    if isinstance(step, ImplicitDiagonal):
        ((axis, size),) = steps.items()
        erased = step.moved(size[..., None] if axis == "" else size, key).expand_as(value)
        along, gained, written = key.square(), erased * value, key
    else:
        gained = memory.bias.written(value, gates)
        gained = gained * steps[""][..., None] if "" in steps else gained
        gained = gained * steps["value"] if "value" in steps else gained
        written = key * steps["key"] if "key" in steps else key
    sources = (row, column, erased, along, gained, written, inputs.query)
    if not torch.is_grad_enabled():
        found = entries.forward(sources, start, step.read == "before", keep=False)
        return None if found is None else (found[0], found[2])
    return cast(Any, _Entries).apply(start, step.read == "before", *sources)[:2]


class _Entries(Function):
    """Outputs and the last matrix, with the matrices that its derivative starts from."""

    @staticmethod
    def forward(start: Tensor, before: bool, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        found = entries.forward(cast(entries.Inputs, inputs), start, before, keep=True)
        if found is None:
            raise RuntimeError("there was a kernel a moment ago")
        output, kept, end = found
        return output, end, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, ctx.before, *sources = inputs
        kept = output[2]
        ctx.mark_non_differentiable(kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(kept, *sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        kernels.once()
        kept, *sources = ctx.saved_tensors
        above, late = gradients[:2]
        if above is None:
            above = torch.zeros_like(sources[4])
        if late is None:
            late = torch.zeros_like(kept[:, 0])
        found, start = entries.backward(
            cast(entries.Inputs, tuple(sources)), kept, above, late, ctx.before
        )
        return start, None, *found
