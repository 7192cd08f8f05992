"""Softmax attention over stored pairs."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.architecture.kv import KeyValue
from miras.definition import Prepared
from miras.optimizer.closed_form import ClosedForm
from miras.plans import Plan
from miras.plans.span import heads_first, logarithms, sums_between

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Attention(Plan):
    """All reads of a memory of pairs at once, through `scaled_dot_product_attention`.

    A window is a band in the mask; retention gates are sums of logarithms added to the logits.

    Source: FlashAttention (arXiv 2205.14135), as torch implements it; forgetting attention
    (arXiv 2503.02130), section 3.
    """

    kind: Literal["attention"] = "attention"
    complexity: ClassVar[str] = "O(pairs kept (key_dim + value_dim))"

    def fits(self, memory: "Memory") -> bool:
        return (
            memory.plain
            and isinstance(memory.architecture, KeyValue)
            and isinstance(memory.optimizer, ClosedForm)
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1.0

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        query, key, value = (heads_first(x) for x in inputs[:3])
        assert isinstance(memory.architecture, KeyValue)
        query = query * memory.architecture.factor(key.shape[-1])
        keys = torch.cat((state.weights["keys"], key), dim=-2)
        values = torch.cat((state.weights["values"], value), dim=-2)
        log_kept = torch.cat((state.weights["log_kept"], torch.zeros_like(key[..., 0])), dim=-1)
        count, present = keys.shape[-2], key.shape[-2]
        size = memory.retention.capacity or count
        if "decay" not in inputs.gates and count == present <= size:
            # Nothing but the future is hidden: torch needs no mask.
            output = F.scaled_dot_product_attention(query, keys, values, is_causal=True, scale=1.0)
        else:
            logits = log_kept[..., None, :]
            if "decay" in inputs.gates:
                logits = logits + _faded(count - present, heads_first(inputs.gates["decay"]))
            log_kept = logits[..., -1, :]
            logits = logits.masked_fill(_hidden(present, count, size, key.device), -torch.inf)
            output = F.scaled_dot_product_attention(query, keys, values, logits, scale=1.0)
        pairs = {
            "keys": keys[..., -size:, :],
            "values": values[..., -size:, :],
            "log_kept": log_kept[..., -size:],
        }
        position = state.position + key.shape[-2]
        return output.transpose(1, 2), state._replace(position=position, weights=pairs)


def _faded(past: int, decay: Tensor) -> Tensor:
    """What the gates `[..., time]` add to the logit of each pair, `[..., time, past + time]`."""
    logs = logarithms(decay)
    all_past = logs.cumsum(-1)[..., None].expand(*logs.shape, past)
    return torch.cat((all_past, sums_between(logs)), dim=-1)


def _hidden(tokens: int, pairs: int, size: int, device: torch.device) -> Tensor:
    """Pairs that each of the last `tokens` does not see: later ones, and all but `size` others."""
    own = torch.arange(pairs - tokens, pairs, device=device)[:, None]
    pair = torch.arange(pairs, device=device)
    return (pair > own) | (pair <= own - size)
