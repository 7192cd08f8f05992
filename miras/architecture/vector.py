"""One number per channel, without keys."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights
from miras.gate import AnyGate, Axis, Signal, Use, grouped


class Vector(Architecture):
    """w in R^value, prediction w whatever the key, starting at zero.

    With `candidate: recurrent` the stored value is tanh(v + R h), h the previous output, R learned
    per head; with a `reset` gate r it is tanh(v + r * (R h + b)). `squash` reads tanh(w), and an
    `output` gate multiplies the read. So LSTM and GRU are sentences of the grammar.

    Source: LSTM (Hochreiter and Schmidhuber 1997, with forget gate), GRU (arXiv 1406.1078, with the
    reset after the product, as in torch.nn.GRU).
    """

    kind: Literal["vector"] = "vector"
    recurrence: bool = Field(default=False, description="the stored value is tanh(v + R h)")
    reset: AnyGate | None = Field(default=None, description="gate on what R h adds")
    squash: bool = Field(default=False, description="read tanh of the weights")
    output: AnyGate | None = Field(default=None, description="gate on the read")
    linear: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    factored: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "value"})
    symbol: ClassVar[str] = "w"

    @property
    def recurrent(self) -> bool:
        return self.recurrence

    def uses(self) -> list[Use]:
        gates = (("reset", self.reset), ("output", self.output))
        return [
            Use(name, "value", gate, 0.0, 1.0, meaning)
            for (name, gate), meaning in zip(
                gates, ("what R h adds to the value", "what of the read is let out"), strict=True
            )
            if gate is not None
        ]

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        if not self.recurrence:
            return []
        infinite = float("inf")
        square, line = (heads, value_dim, value_dim), (heads, value_dim)
        meaning, std = "R of the stored value", value_dim**-0.5
        found = [Signal("recurrence", square, -infinite, infinite, False, meaning, std=std)]
        if self.reset is not None:
            found.append(
                Signal("recurrence_shift", line, -infinite, infinite, False, "b beside R h")
            )
        return found

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {"vector": Leaf((value_dim,), ("value",), 0.0)}

    def candidate(self, value: Tensor, gates: Gates, output: Tensor) -> Tensor:
        if not self.recurrence:
            return value
        seen = torch.einsum("hrc,bhc->bhr", gates["recurrence"], output)
        if self.reset is not None:
            seen = gates["reset"] * (seen + gates["recurrence_shift"])
        return torch.tanh(value + seen)

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return weights["vector"]

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        out = torch.tanh(weights["vector"]) if self.squash else weights["vector"]
        return gates["output"] * out if self.output is not None else out

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return torch.ones_like(weights["vector"][..., 0])

    def formula(self, weights: str, key: str) -> str:
        return weights

    def candidate_formula(self, value: str, output: str, gates: Mapping[str, str]) -> str:
        if not self.recurrence:
            return value
        seen = f"R {output}" if self.reset is None else f"{gates['reset']} ⊙ (R {output} + b)"
        return f"tanh({value} + {seen})"

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        out = f"tanh({weights})" if self.squash else weights
        return out if self.output is None else f"{gates['output']} ⊙ {out}"

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return error

    def sensitivity_formula(self, key: str) -> str:
        return "1"

    def scale_formula(self, weights: str, multipliers: Mapping[str, str]) -> str:
        signs = {"": " ", "value": " ⊙ "}
        factors = (f"{grouped(factor)}{signs[axis]}" for axis, factor in multipliers.items())
        return "".join(factors) + weights

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        return 0
