"""Everything, one token after the other."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared, step
from miras.plans import Plan

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Sequential(Plan):
    """The definition itself, batched over sequences and heads."""

    kind: Literal["sequential"] = "sequential"
    complexity: ClassVar[str] = "O(size of the state), no parallelism along the sequence"

    def fits(self, memory: "Memory") -> bool:
        return True

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e9

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        outputs: list[Tensor] = []
        for t in range(inputs.query.shape[1]):
            now = {name: gate[:, t] for name, gate in inputs.gates.items()} | inputs.constants
            token = (inputs.query[:, t], inputs.key[:, t], inputs.value[:, t])
            output, state = step(memory, *token, now, state)
            outputs.append(output)
        return torch.stack(outputs, dim=1), state
