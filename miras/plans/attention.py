"""Softmax attention over stored pairs."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.architecture.kv import KeyValue
from miras.definition import Prepared
from miras.optimizer.closed_form import ClosedForm
from miras.plans import Plan
from miras.plans.span import heads_first, logarithms, of_channels, sums_between

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Attention(Plan):
    """All reads of a memory of pairs at once, through `scaled_dot_product_attention`.

    A window is a band in the mask; retention gates are sums of logarithms added to the logits. What
    needs the logits or the weights themselves (decay per key channel, sinks, slopes, iterations)
    writes them out as one matrix of queries by pairs.

    Source: FlashAttention (arXiv 2205.14135), as torch implements it; forgetting attention
    (arXiv 2503.02130), section 3.
    """

    kind: Literal["attention"] = "attention"
    complexity: ClassVar[str] = "O(pairs kept (key_dim + value_dim))"

    def fits(self, memory: "Memory") -> bool:
        architecture = memory.architecture
        if not isinstance(architecture, KeyValue):
            return False
        # Keys that fade channel by channel differ from query to query: no product to fit or repeat.
        simple = architecture.slope == "none" and architecture.iterations == 1
        return (
            memory.plain
            and isinstance(memory.optimizer, ClosedForm)
            and (simple or memory.retention.decays != "key")
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1.0

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        query, key, value = (heads_first(x) for x in inputs[:3])
        architecture = memory.architecture
        assert isinstance(architecture, KeyValue)
        keys = torch.cat((state.weights["keys"], key), dim=-2)
        values = torch.cat((state.weights["values"], value), dim=-2)
        log_kept = torch.cat((state.weights["log_kept"], torch.zeros_like(key[..., 0])), dim=-1)
        count, present = keys.shape[-2], key.shape[-2]
        size = memory.retention.capacity or count
        faded = "decay" in inputs.gates or "decay_key" in inputs.gates
        literal = architecture.sink or architecture.slope != "none" or architecture.iterations > 1
        factor = architecture.factor(key.shape[-1])
        if not faded and not literal and count == present <= size:
            # Nothing but the future is hidden: torch needs no mask.
            output = F.scaled_dot_product_attention(
                query, keys, values, is_causal=True, scale=factor
            )
        else:
            bias = log_kept[..., None, :]
            if "decay" in inputs.gates:
                bias = bias + log_fading(count - present, heads_first(inputs.gates["decay"]))
            log_kept = bias[..., -1, :]
            bias = bias.masked_fill(hidden(present, count, size, key.device), -torch.inf)
            if literal or "decay_key" in inputs.gates:
                output, keys = _written_out(architecture, inputs, query, keys, values, bias)
            else:
                output = F.scaled_dot_product_attention(query, keys, values, bias, scale=factor)
        pairs = {
            "keys": keys[..., -size:, :],
            "values": values[..., -size:, :],
            "log_kept": log_kept[..., -size:],
        }
        position = state.position + key.shape[-2]
        return output.transpose(1, 2), state._replace(position=position, weights=pairs)


def _written_out(
    architecture: KeyValue,
    inputs: Prepared,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Outputs from weights `[..., time, pairs]`, and the keys as they are left."""
    gates, factor = inputs.constants, architecture.factor(keys.shape[-1])
    sink = gates["sink"][:, None, None] if architecture.sink else None
    past = keys.shape[-2] - query.shape[-2]
    if "decay_key" in inputs.gates:
        span = of_channels(heads_first(inputs.gates["decay_key"]))
        before, present = keys[..., :past, :], keys[..., past:, :]
        logits = torch.cat((span.from_start(query) @ before.mT, span.pairs(query, present)), dim=-1)
        weight = architecture.weigh(logits * factor + bias, sink)
        return weight @ values, torch.cat((span.through(before), span.to_end(present)), dim=-2)
    for _ in range(architecture.iterations - 1):
        query = architecture.weigh(query @ keys.mT * factor + bias, sink) @ keys
    weight = architecture.weigh(query @ keys.mT * factor + bias, sink)
    return architecture.fit(weight, keys, values, query, gates), keys


def log_fading(past: int, decay: Tensor) -> Tensor:
    """What the gates `[..., time]` add to the logit of each pair, `[..., time, past + time]`."""
    logs = logarithms(decay)
    all_past = logs.cumsum(-1)[..., None].expand(*logs.shape, past)
    return torch.cat((all_past, sums_between(logs)), dim=-1)


def hidden(
    tokens: int, pairs: int, size: int, device: torch.device, before: bool = False
) -> Tensor:
    """Pairs that each of the last `tokens` does not see: later ones, and all but `size` others.

    `before` its own pair is stored, or after.
    """
    own = torch.arange(pairs - tokens, pairs, device=device)[:, None] - int(before)
    pair = torch.arange(pairs, device=device)
    return (pair > own) | (pair <= own - size)
