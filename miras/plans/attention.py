"""Softmax attention over stored pairs."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.architecture.kv import KeyValue
from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.span import heads_first, sums_between

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
        return isinstance(memory.architecture, KeyValue)

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1.0

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        query, key, value = (heads_first(x) for x in inputs[:3])
        assert isinstance(memory.architecture, KeyValue)
        query = query * memory.architecture.factor(key.shape[-1])
        keys = torch.cat((state.weights["keys"], key), dim=-2)
        values = torch.cat((state.weights["values"], value), dim=-2)
        log_kept, bias = state.weights["log_kept"], None
        if "decay" in inputs.gates:
            bias = _logits(log_kept, heads_first(inputs.gates["decay"]))
            log_kept = bias[..., -1, :]
        else:
            log_kept = torch.cat((log_kept, torch.zeros_like(key[..., 0])), dim=-1)

        size: int = getattr(memory.retention, "size", keys.shape[-2])
        mask = _mask(key.shape[-2], keys.shape[-2], size, key.device)
        if bias is not None:
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        # Torch's own path needs no mask where nothing but the future is hidden.
        causal = bias is None and keys.shape[-2] == key.shape[-2] <= size
        output = F.scaled_dot_product_attention(
            query, keys, values, None if causal else mask, is_causal=causal, scale=1.0
        )
        pairs = {
            "keys": keys[..., -size:, :],
            "values": values[..., -size:, :],
            "log_kept": log_kept[..., -size:],
        }
        position = state.position + key.shape[-2]
        return output.transpose(1, 2), state._replace(position=position, weights=pairs)


def _logits(log_kept: Tensor, decay: Tensor) -> Tensor:
    """What the gates `[..., time]` add to the logit of each pair, `[..., time, pairs]`."""
    sums = sums_between(decay)[..., 1:, :]
    return torch.cat((log_kept[..., None, :] + sums[..., :1], sums[..., 1:]), dim=-1)


def _mask(tokens: int, pairs: int, size: int, device: torch.device) -> Tensor | None:
    """Which of the pairs each of the last `tokens` sees: those up to its own, at most `size`."""
    if tokens == 1 and pairs <= size:
        return None
    own = torch.arange(pairs - tokens, pairs, device=device)[:, None]
    pair = torch.arange(pairs, device=device)
    return (pair <= own) & (pair > own - size)
