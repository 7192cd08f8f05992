"""Writes that grow once more with the next token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared
from miras.optimizer import Stepping
from miras.plans.outer import Outer
from miras.plans.rows import Rows, between
from miras.surprise import gated, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Stencil(Outer):
    """Linear attention in which token j writes twice, a part of it when token j + 1 comes.

    Two rows per token: what the token before still has to write, before the memory decays, then the
    token's own write, after which it is read. What the token before the first still has to write
    joins the memory at the start.

    Source: rule R11 of docs/rules.md; Mamba-3 (Lahoti et al. 2026).
    """

    kind: Literal["stencil"] = "stencil"
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        step = memory.stepping
        simple = step is not None and step.step_axis == "scalar" and step.read == "after"
        simple = simple and not memory.architecture.backwards
        return simple and super().fits(memory) and not self.looks(memory)

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 500.0 + 20.0 * (key_dim + value_dim)

    def solve(self, memory: "Memory", rows: Rows, gram: Tensor, known: Tensor) -> Tensor:
        return rows.value

    def knows(self, step: Stepping) -> bool:
        return step.trails

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        optimizer, bias = memory.stepping, memory.bias
        assert optimizer is not None
        ((name, start),) = state.weights.items()
        step, key, value = inputs.gates["step"], inputs.key, inputs.value
        own, late = optimizer.shares(step, inputs.gates)
        # A step of nothing leaves no direction to remember.
        alive = step > torch.finfo(own.dtype).tiny
        unit = torch.ones_like(key[:, :1, :, 0])
        first = step_sizes(optimizer, {"step": late[:, :1]}, unit, key.shape[-1])[""]
        start = start - first[:, 0, :, None, None] * state.buffers["before"][name]

        still = {"decay": torch.ones_like, "rotation": _unturned}
        gates = {
            label: between([still.get(label, _before)(gate), gate], time=1)
            for label, gate in inputs.gates.items()
        }
        gates["step"] = between([late * _before(alive), own], time=1)
        doubled = Prepared(
            between([torch.zeros_like(inputs.query), inputs.query], time=1),
            between([_before(key), key], time=1),
            between([_before(value), value], time=1),
            gates,
            inputs.constants,
        )
        output, after = super().run(
            memory, doubled, state._replace(weights={name: start}, buffers={})
        )
        last = {label: gate[:, -1:] for label, gate in inputs.gates.items()} | inputs.constants
        target = gated(value[:, -1:], "write", last)
        target = bias.written(target, last)[:, 0]
        left = (alive[:, -1, :, None] * target)[..., :, None] * key[:, -1, :, None, :]
        after = after._replace(
            position=state.position + key.shape[1], buffers={"before": {name: -left}}
        )
        return output[:, 1::2], after


def _before(tokens: Tensor) -> Tensor:
    """Of each token what the one before it has; nothing for the first."""
    return torch.cat((torch.zeros_like(tokens[:, :1]), tokens[:, :-1]), dim=1)


def _unturned(share: Tensor) -> Tensor:
    return torch.full_like(share, 0.5)
