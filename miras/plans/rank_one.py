"""One outer product per token."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from miras.definition import Prepared, each_token
from miras.plans import Plan
from miras.retention import Retention
from miras.surprise import guard, multipliers, step_sizes
from miras.token import Token

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class RankOne(Plan):
    """A matrix memory under any retention, token by token, its gradient written as error times key.

    The definition finds the gradient of any architecture by reverse differentiation; for W k it is
    error k^T. All that does not depend on the weights is computed for the whole sequence at once.
    Where a gradient is taken at the weights that the token before has read, both are one product.
    """

    kind: Literal["rank_one"] = "rank_one"
    complexity: ClassVar[str] = "O(key_dim value_dim), no parallelism along the sequence"

    def fits(self, memory: "Memory") -> bool:
        step, architecture = memory.stepping, memory.architecture
        return (
            step is not None
            and architecture.plain
            and memory.bias.plain
            and step.literal
            and (step.plain or step.heavy_ball)
            and (step.chunk, step.every) == (1, 1)
            and architecture.linear
            and architecture.keyed
            and not memory.retention.notices
            and not memory.recurrent
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
        buffers, retention = dict(state.buffers), memory.retention
        # The query of each token beside the key of the next.
        following = torch.cat((inputs.key[:, 1:], torch.zeros_like(inputs.key[:, :1])), dim=1)
        tokens = inputs.gates | {
            "own asked": torch.stack((inputs.query, following), dim=-1),
            "own key": inputs.key,
            "own value": inputs.value,
            "own write": write[..., None, :],
        }
        tokens |= {f"own kept {place}": factor for place, factor in enumerate(decay)}
        tokens |= {} if limit is None else {"own limit": limit}
        tokens |= {"own size": steps["value"]} if "value" in steps else {}
        tokens |= {"own step": steps[""]} if "" in steps else {}
        still = type(retention).keep is Retention.keep
        early = step.gradient_at != "retained" or (still and not decay)
        outputs: list[Tensor] = []
        prediction = (link(weights) @ inputs.key[:, 0, :, :, None])[..., 0]
        for place, now in enumerate(each_token(tokens)):
            known, key, value = now | inputs.constants, now["own key"], now["own value"]
            query = now["own asked"][..., 0]
            token = Token(query, key, value, known, state.position + place)
            retained = weights
            for axis in range(len(decay)):
                retained = retained * now[f"own kept {axis}"]
            if not still:
                token = token._replace(weights={name: weights})
                kept, buffers = retention.keep({name: retained}, buffers, token)
                retained = kept[name]
            if not early:
                prediction = (link(retained) @ key[..., None])[..., 0]
            update = -memory.bias.error(prediction, value, known, now.get("own limit"))
            if "own size" in now:
                update = update * now["own size"]
            if step.heavy_ball:
                kept = buffers["momentum"][name] * now["momentum"][..., None, None]
                momentum = torch.addcmul(kept, update[..., None], now["own write"])
                buffers["momentum"] = {name: momentum}
                weights = retained + momentum
            else:
                weights = torch.addcmul(retained, update[..., None], now["own write"])
            if not retention.plain:
                token = token._replace(weights={name: retained}, step=now.get("own step"))
                token = token._replace(residual=prediction - value, prediction=prediction)
                settled, buffers = retention.settle({name: weights}, buffers, token)
                weights = settled[name]
            output, prediction = (link(weights) @ now["own asked"]).unbind(-1)
            outputs.append(output)
        after = state._replace(
            position=state.position + len(outputs), weights={name: weights}, buffers=buffers
        )
        return torch.stack(outputs, dim=1), after
