"""The pairs themselves: attention."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights
from miras.gate import Axis


class KeyValue(Architecture):
    """All pairs (k_i, v_i) that were kept; read softmax_i(s q . k_i + log kept_i) v_i.

    s is 1 / sqrt(key_dim), or the number given. kept_i is the product of the retention gates since
    pair i was stored: decay on stored pairs is a bias on their logits (forgetting attention).

    Source: attention (arXiv 1706.03762), equation 1; forgetting attention (arXiv 2503.02130).
    """

    kind: Literal["kv"] = "kv"
    sharpness: Literal["key_dim"] | Annotated[float, Field(gt=0.0)] = Field(
        default="key_dim", description="s: 1 / sqrt(key_dim), or a number"
    )
    stores_pairs: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar"})
    symbol: ClassVar[str] = "P"

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {
            "keys": Leaf((0, key_dim), ("pair", "key"), 0.0),
            "values": Leaf((0, value_dim), ("pair", "value"), 0.0),
            "log_kept": Leaf((0,), ("pair",), 0.0),
        }

    def factor(self, key_dim: int) -> float:
        """The number s."""
        return key_dim**-0.5 if self.sharpness == "key_dim" else float(self.sharpness)

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        logits = torch.einsum("...nc,...c->...n", weights["keys"], key)
        weight = (logits * self.factor(key.shape[-1]) + weights["log_kept"]).softmax(-1)
        return torch.einsum("...n,...nr->...r", weight, weights["values"])

    def store(self, weights: Weights, key: Tensor, value: Tensor) -> Weights:
        return {
            "keys": torch.cat((weights["keys"], key[..., None, :]), dim=-2),
            "values": torch.cat((weights["values"], value[..., None, :]), dim=-2),
            "log_kept": torch.cat((weights["log_kept"], torch.zeros_like(key[..., :1])), dim=-1),
        }

    def scale(self, weights: Weights, multipliers: Mapping[str, Tensor]) -> Weights:
        if "" not in multipliers:
            return weights
        kept = multipliers[""].clamp_min(torch.finfo(multipliers[""].dtype).tiny).log()
        return weights | {"log_kept": weights["log_kept"] + kept[..., None]}

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        scale = "/ √key_dim" if self.sharpness == "key_dim" else f"· {self.sharpness:g}"
        kept = f" + Σ_(i<j≤t) log {gates['decay'].replace('_t', '_j')}" if "decay" in gates else ""
        return f"Σ_i softmax_i(k_i · {query} {scale}{kept}) v_i over the pairs in {weights}"

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        return key_dim + value_dim
