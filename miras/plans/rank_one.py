"""One outer product per token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared, each_token
from miras.plans import Plan
from miras.surprise import guard, multipliers, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class RankOne(Plan):
    """A matrix memory, token by token, with its gradient written out as error times key.

    The definition finds the gradient of any architecture by reverse differentiation; for W k it is
    error k^T. All that does not depend on the weights is computed for the whole sequence at once.
    Where a gradient is taken at the weights that the token before has read, both are one product.
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
        # The query of each token beside the key of the next.
        following = torch.cat((inputs.key[:, 1:], torch.zeros_like(inputs.key[:, :1])), dim=1)
        tokens = inputs.gates | {
            "asked": torch.stack((inputs.query, following), dim=-1),
            "key of it": inputs.key[..., None],
            "value of it": inputs.value,
            "write": write[..., None, :],
        }
        tokens |= {f"kept {place}": factor for place, factor in enumerate(decay)}
        tokens |= {} if limit is None else {"limit": limit}
        tokens |= {"size": steps["value"]} if "value" in steps else {}
        early = step.gradient_at != "retained" or not decay
        outputs: list[Tensor] = []
        prediction = (link(weights) @ inputs.key[:, 0, :, :, None])[..., 0]
        for now in each_token(tokens):
            retained = weights
            for place in range(len(decay)):
                retained = retained * now[f"kept {place}"]
            if not early:
                prediction = (link(retained) @ now["key of it"])[..., 0]
            known = now | inputs.constants
            update = -memory.bias.error(prediction, now["value of it"], known, now.get("limit"))
            if "size" in now:
                update = update * now["size"]
            if momentum is None:
                weights = torch.addcmul(retained, update[..., None], now["write"])
            else:
                kept = momentum * now["momentum"][..., None, None]
                momentum = torch.addcmul(kept, update[..., None], now["write"])
                weights = retained + momentum
            output, prediction = (link(weights) @ now["asked"]).unbind(-1)
            outputs.append(output)
        buffers = {} if momentum is None else {"momentum": {name: momentum}}
        after = state._replace(
            position=state.position + len(outputs), weights={name: weights}, buffers=buffers
        )
        return torch.stack(outputs, dim=1), after
