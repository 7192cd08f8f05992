"""A fixed number of places, each with a key and a value."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Pull, Weights, diagonal
from miras.gate import AnyGate, Axis, Use
from miras.gate.sigmoid import Sigmoid
from miras.part import SpecError

TINY = 1e-6
"""Smallest summed weight that a slot is divided by."""


class Slots(Architecture):
    """Tables K in R^(slots x key) and V in R^(slots x value), read V^T w(K q).

    w is the softmax of sharpness K q, over the `top` largest, or silu(sharpness K q) at length 1; K
    q is a product or a cosine. A token is written to an address a in R^slots: what the tables
    answer to it, (K^T a, V^T a), is compared with the token's key and value, so that under `dot` K
    gains step a k^T and V step a v^T. `addressing` says what a is:

    - `step`: 1 for every slot; a step along the axis `slot` says how strongly each is written;
    - `gate`: a gate of the input, one number per slot;
    - `content`: w(K k) of the tables as they are; no gradient passes through it.

    `averaged` divides both rows of a slot by the summed weight z of what was written to
    it, z_t = decay z_{t-1} + step a. Tables start at zero, or random and learned.

    Source: ABC (arXiv 2110.02488) and GSA (arXiv 2409.07146), as in flash-linear-attention;
    addresses by content as in neural Turing machines (arXiv 1410.5401).
    """

    kind: Literal["slots"] = "slots"
    size: int = Field(default=16, ge=2, le=65_536, description="number of slots")
    addressing: Literal["step", "gate", "content"] = Field(
        default="step", description="where a token is written: see the description of this part"
    )
    gate: AnyGate = Field(default=Sigmoid(), description="the address, for addressing: gate")
    similarity: Literal["dot", "cosine"] = "dot"
    sharpness: Literal["key_dim"] | Annotated[float, Field(gt=0.0, le=100.0)] = Field(
        default="key_dim", description="factor on similarities: 1 / sqrt(key_dim), or a number"
    )
    weighing: Literal["softmax", "silu"] = Field(
        default="softmax", description="softmax, or silu scaled to length 1"
    )
    top: int | None = Field(default=None, ge=1, le=65_536, description="slots that are read; all")
    averaged: bool = Field(default=False, description="slots are means of what was written there")
    initial_std: float = Field(
        default=0.0, ge=0.0, le=10.0, description="of initial tables, which are learned if above 0"
    )
    together: ClassVar[bool] = True

    @model_validator(mode="after")
    def _can_start(self) -> "Slots":
        if self.initial_std == 0 and self.addressing == "content":
            raise SpecError(
                "addressing: content needs slots that differ from the start: write initial_std: 1.0"
                " or so"
            )
        if self.top is not None and self.weighing == "silu":
            raise SpecError("top: picks the largest terms of a softmax: use weighing: softmax")
        return self

    @property
    def plain(self) -> bool:
        return False

    @property
    def slots(self) -> int:
        return self.size

    @property
    def tables(self) -> bool:
        return self.addressing != "content" and self.similarity == "dot"

    def allowed_axes(self) -> frozenset[Axis]:
        if self.averaged:
            return frozenset({"scalar", "slot"})
        return frozenset({"scalar", "slot", "key", "value", "both"})

    def uses(self) -> list[Use]:
        if self.addressing != "gate":
            return []
        return [Use("address", "slot", self.gate, 0.0, 1.0, "how strongly each slot is meant")]

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        std, learned = self.initial_std, self.initial_std > 0
        found = {
            "key_table": Leaf((self.size, key_dim), ("slot", "key"), std, learned=learned),
            "value_table": Leaf((self.size, value_dim), ("slot", "value"), std, learned=learned),
        }
        if self.averaged:
            found["total"] = Leaf((self.size,), ("slot",), 0.0, nonnegative=True, learned=False)
        return found

    def weigh(self, weights: Weights, key: Tensor) -> Tensor:
        """How strongly a key means each slot `[..., slots]`."""
        keys = self._mean(weights, "key_table")
        if self.similarity == "cosine":
            keys, key = _unit(keys), _unit(key)
        return self.weighed(torch.einsum("...sk,...k->...s", keys, key), key.shape[-1])

    def weighed(self, similarities: Tensor, key_dim: int) -> Tensor:
        """How strongly each slot is meant, from the similarities of its key to a query."""
        scale = key_dim**-0.5 if self.sharpness == "key_dim" else float(self.sharpness)
        scores = scale * similarities
        if self.weighing == "silu":
            return _unit(torch.nn.functional.silu(scores))
        if self.top is not None and self.top < self.size:
            best, place = scores.topk(self.top, dim=-1)
            return torch.zeros_like(scores).scatter(-1, place, best.softmax(-1))
        return scores.softmax(-1)

    def _mean(self, weights: Weights, name: str) -> Tensor:
        table = weights[name]
        if self.averaged:
            table = table / weights["total"].clamp_min(TINY)[..., None]
        return table

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        weight = self.weigh(weights, key)
        return torch.einsum("...sv,...s->...v", self._mean(weights, "value_table"), weight)

    def respond(self, weights: Weights, key: Tensor, gates: Gates) -> tuple[Tensor, Pull]:
        address = self.written(weights, key, gates)

        def predict(at: Weights) -> Tensor:
            tables = [at["key_table"], at["value_table"]]
            if self.averaged:
                tables.append(at["total"][..., None])
            return torch.cat(
                [torch.einsum("...sd,...s->...d", table, address) for table in tables], dim=-1
            )

        prediction, pull = cast(tuple[Tensor, Any], torch.func.vjp(predict, weights))
        return prediction, lambda error: pull(error)[0]

    def written(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        """How strongly a token is written to each slot, before its steps `[..., slots]`."""
        if self.addressing == "content":
            return self.weigh(weights, key)
        if self.addressing == "gate":
            return gates["address"]
        return key.new_ones(*key.shape[:-1], self.size)

    def target(self, key: Tensor, value: Tensor) -> Tensor:
        both = (key, value, torch.ones_like(value[..., :1]))
        return torch.cat(both if self.averaged else both[:2], dim=-1)

    def address(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return self.weigh(weights, key)

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return self.written(weights, key, gates).square().sum(-1)

    def formula(self, weights: str, key: str) -> str:
        return f"Vᵀ w(K {key})"

    def meaning(self) -> str:
        scale = "/ √key_dim" if self.sharpness == "key_dim" else f"· {self.sharpness:g}"
        top = "" if self.top is None else f" over the {self.top} largest"
        w = "silu(s) / ‖silu(s)‖" if self.weighing == "silu" else f"softmax(s){top}"
        like = "cosines of the rows of K and q" if self.similarity == "cosine" else "K q"
        found = [f"W = (K, V), w: {w}, s = {like} {scale}"]
        addresses = {
            "step": "a_t = 1 for every slot",
            "gate": "a_t = address_t",
            "content": "a_t = w(K k_t)",
        }
        found.append(addresses[self.addressing])
        if self.averaged:
            found.append("rows are divided by z, which gains what they gain as weight")
        return "; ".join(found)

    def asked_formula(self, weights: str, key: str) -> str:
        return "(Kᵀ a_t, Vᵀ a_t)"

    def target_formula(self, key: str, value: str) -> str:
        return f"({key}, {value})"

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return f"a_t {error}ᵀ"

    def sensitivity_formula(self, key: str) -> str:
        return "‖a_t‖²"

    def scale_formula(self, weights: str, multipliers: Mapping[str, str]) -> str:
        rest = {axis: factor for axis, factor in multipliers.items() if axis != "slot"}
        scaled = super().scale_formula(weights, rest)
        return f"{diagonal(multipliers['slot'])} {scaled}" if "slot" in multipliers else scaled


def _unit(x: Tensor) -> Tensor:
    """Rows at length 1, but for a small number that keeps zeros zero."""
    return x * (x.square().sum(-1, keepdim=True) + TINY).rsqrt()
