"""Elementwise recurrence, one number of the state at a time."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.recurrence import recurrence
from miras.surprise import multipliers, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Scan(Plan):
    """Every number of the state has a recurrence of its own: x_t = keep_t x_{t-1} + write_t.

    Vectors under dot (keep = decay) or l2 (keep = decay (1 - step), or decay - step where the
    gradient is taken before the decay), and matrices under dot, whose states at all tokens are
    written out: worth it where a value has one or two numbers, as in Mamba.

    Source: Mamba (arXiv 2312.00752), section 3.3; minGRU (arXiv 2410.01201), section 3.
    """

    kind: Literal["scan"] = "scan"
    complexity: ClassVar[str] = "O(size of the state), elementwise"

    def fits(self, memory: "Memory") -> bool:
        step, bias = memory.stepping, memory.bias
        return (
            memory.plain
            and step is not None
            and step.plain
            and (step.every, step.chunk) == (1, 1)
            and memory.architecture.linear
            and (not bias.residual or (bias.linear and not memory.architecture.keyed))
            and memory.retention.identity_link
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        # In the nanoseconds of `linear`.
        return 50.0 + 12.0 * value_dim * (key_dim if memory.architecture.keyed else 1)

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        ((name, start),) = state.weights.items()
        architecture, step = memory.architecture, memory.stepping
        assert step is not None
        gates = inputs.gates | inputs.constants
        key, value = inputs.key, inputs.value
        one = {name: torch.ones([1] * (start.ndim + 1), dtype=value.dtype, device=value.device)}
        sensitivity = architecture.sensitivity({name: value}, key, gates)
        keep = architecture.scale(one, multipliers("decay", gates))[name]
        size = architecture.scale(one, step_sizes(step, gates, sensitivity, key.shape[-1]))[name]
        write = -memory.bias.error(torch.zeros_like(value), value, gates)
        if architecture.keyed:
            write = write[..., :, None] * key[..., None, :]
        if memory.bias.residual:
            keep = keep * (1 - size) if step.gradient_at == "retained" else keep - size
        weights = recurrence(keep, write * size, start)
        output = architecture.read({name: weights}, inputs.query, gates)
        position = state.position + key.shape[1]
        return output, state._replace(position=position, weights={name: weights[:, -1]})
