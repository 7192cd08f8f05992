"""One outer product per token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared
from miras.plans import Plan
from miras.surprise import guard, multipliers, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class RankOne(Plan):
    """A matrix memory, token by token, with its gradient written out as error times key.

    The definition finds the gradient of any architecture by reverse differentiation; for W k it is
    error k^T. All that does not depend on the weights is computed for the whole sequence at once.
    """

    kind: Literal["rank_one"] = "rank_one"
    complexity: ClassVar[str] = "O(key_dim value_dim), no parallelism along the sequence"

    def fits(self, memory: "Memory") -> bool:
        step, architecture = memory.stepping, memory.architecture
        return (
            memory.plain
            and step is not None
            and (step.plain or step.heavy_ball)
            and (step.chunk, step.every) == (1, 1)
            and architecture.linear
            and architecture.keyed
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e7

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        step = memory.stepping
        assert step is not None
        gates, link = inputs.gates | inputs.constants, memory.retention.link
        sensitivity = memory.architecture.sensitivity({}, inputs.key, gates)
        steps = step_sizes(step, gates, sensitivity, inputs.key.shape[-1])
        limit = guard(memory, steps, sensitivity)
        write = inputs.key * steps.pop("key", torch.ones_like(inputs.key))
        for axis, size in steps.items():
            if axis == "":
                write = write * size[..., None]
        decay = [
            factor[..., None, None]
            if axis == ""
            else factor.unsqueeze(-1 if axis == "value" else -2)
            for axis, factor in multipliers("decay", gates).items()
        ]
        ((name, weights),) = state.weights.items()
        momentum = state.buffers["momentum"][name] if step.heavy_ball else None
        outputs: list[Tensor] = []
        for t in range(inputs.key.shape[1]):
            now = {label: gate[:, t] for label, gate in inputs.gates.items()} | inputs.constants
            retained = weights
            for factor in decay:
                retained = retained * factor[:, t]
            at = link(retained if step.gradient_at == "retained" else weights)
            prediction = (at @ inputs.key[:, t, :, :, None])[..., 0]
            bound = None if limit is None else limit[:, t]
            update = -memory.bias.error(prediction, inputs.value[:, t], now, bound)
            if "value" in steps:
                update = update * steps["value"][:, t]
            if momentum is None:
                weights = torch.addcmul(retained, update[..., None], write[:, t, :, None, :])
            else:
                kept = momentum * now["momentum"][..., None, None]
                momentum = torch.addcmul(kept, update[..., None], write[:, t, :, None, :])
                weights = retained + momentum
            outputs.append((link(weights) @ inputs.query[:, t, :, :, None])[..., 0])
        buffers = {} if momentum is None else {"momentum": {name: momentum}}
        after = state._replace(
            position=state.position + len(outputs), weights={name: weights}, buffers=buffers
        )
        return torch.stack(outputs, dim=1), after
