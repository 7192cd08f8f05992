"""A deep memory: a small network whose weights are the state."""

from collections.abc import Mapping
from math import prod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights, apply, diagonal
from miras.architecture.network import Network
from miras.gate import Axis, Signal, grouped
from miras.part import SpecError

ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu, "tanh": torch.tanh}


class Mlp(Architecture):
    """M(k) = residual k + norm(W_depth act(... act(W_1 k))), all W in the state.

    `gated` multiplies the first hidden layer by a second projection of the key (SwiGLU with silu).
    `offset` adds a bias to the last layer. The gain and shift of the norm are learned by the outer
    loop and do not change along the sequence. `residual` needs key and value of one size.

    Source: TTT (arXiv 2407.04620), section 2.7; Titans (arXiv 2501.00663), section 3.1; MIRAS
    (arXiv 2504.13173), section 5.3 with x + LN(W_1 gelu(W_2 x)).
    """

    kind: Literal["mlp"] = "mlp"
    depth: int = Field(default=2, ge=1, le=4, description="number of weight matrices in a row")
    expansion: float = Field(default=4.0, gt=0.0, le=16.0, description="hidden size / key size")
    activation: Literal["gelu", "silu", "relu", "tanh"] = "gelu"
    gated: bool = False
    residual: bool = True
    norm: Literal["none", "layer", "rms"] = "layer"
    offset: bool = False
    initial_std: float | None = Field(
        default=None, gt=0.0, description="of the initial weights; 1/sqrt(inputs) if left out"
    )
    factored: ClassVar[bool] = True
    together: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar"})

    @model_validator(mode="after")
    def _gate_needs_hidden(self) -> "Mlp":
        if self.gated and self.depth == 1:
            raise SpecError("gated: true multiplies a hidden layer: use depth: 2 or more")
        return self

    @property
    def matrices(self) -> bool:
        return not self.offset

    @property
    def affine(self) -> bool:
        return self.depth == 1 and self.norm == "none"

    @property
    def bounded_prediction(self) -> bool:
        return self.norm != "none"

    @property
    def network(self) -> Network:
        layers = (self.depth, self.activation, self.gated, self.offset)
        return Network(*layers, self.norm, self.residual, self._finish)

    def allowed_axes(self) -> frozenset[Axis]:
        # With two layers and no offset each leaf has exactly one outer axis, so "per channel" has
        # one meaning; with more there would be leaves that nothing decays.
        outer: frozenset[Axis] = frozenset({"both"})
        return self.axes | outer if self.depth <= 2 and not self.offset else self.axes

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        if self.norm == "none":
            return []
        infinite = float("inf")
        shape = (heads, value_dim)
        gain = Signal("norm_gain", shape, -infinite, infinite, False, "gain of the norm", mean=1.0)
        if self.norm == "rms":
            return [gain]
        return [gain, gain._replace(name="norm_shift", meaning="shift of the norm", mean=0.0)]

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        hidden = max(1, round(self.expansion * key_dim))
        sizes = [key_dim, *[hidden] * (self.depth - 1), value_dim]
        names = ["key", *["hidden"] * (self.depth - 1), "value"]
        found: dict[str, Leaf] = {}
        for index in range(self.depth):
            inputs, outputs = sizes[index], sizes[index + 1]
            std = self.initial_std or inputs**-0.5
            axes = (names[index + 1], names[index])
            found[f"layer_{index}"] = Leaf((outputs, inputs), axes, std)
        if self.gated:
            found["gate"] = found["layer_0"]
        if self.offset:
            found["offset"] = Leaf((value_dim,), ("value",), 0.0)
        return found

    def _last_hidden(self, weights: Weights, key: Tensor) -> Tensor:
        hidden = key
        for index in range(self.depth - 1):
            hidden = ACTIVATIONS[self.activation](apply(weights[f"layer_{index}"], hidden))
            if self.gated and index == 0:
                hidden = hidden * apply(weights["gate"], key)
        return hidden

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        out = apply(weights[f"layer_{self.depth - 1}"], self._last_hidden(weights, key))
        if self.offset:
            out = out + weights["offset"]
        return self._finish(out, key, gates)

    def _finish(self, out: Tensor, key: Tensor, gates: Gates) -> Tensor:
        if self.norm == "layer":
            centred = out - out.mean(-1, keepdim=True)
            spread = centred.square().mean(-1, keepdim=True) + 1e-6
            out = gates["norm_gain"] * centred * spread.rsqrt() + gates["norm_shift"]
        elif self.norm == "rms":
            out = gates["norm_gain"] * out * (out.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        return key + out if self.residual else out

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        # The part of the Jacobian that belongs to the last layer: the largest in practice, and the
        # only one that grows with the activations.
        return self._last_hidden(weights, key).square().sum(-1) + (1.0 if self.offset else 0.0)

    def meaning(self) -> str:
        hidden = "k"
        for index in range(1, self.depth):
            inner = f"{self.activation}(W_{index} {hidden})"
            hidden = f"({inner} ⊙ V {hidden})" if self.gated and index == 1 else inner
        out = f"W_{self.depth} {hidden}" + (" + b" if self.offset else "")
        names = {"none": "", "layer": "LN", "rms": "RMS"}
        out = f"{names[self.norm]}({out})" if self.norm != "none" else out
        parts = [f"W_{index}" for index in range(1, self.depth + 1)]
        parts += ["V"] * self.gated + ["b"] * self.offset
        inside = f"W = ({', '.join(parts)})" if len(parts) > 1 else "W = W_1"
        return f"M(W, k) = {'k + ' if self.residual else ''}{out}, {inside}"

    def sensitivity_formula(self, key: str) -> str:
        hidden = f"‖{key}‖²" if self.depth == 1 else "‖h_t‖²"
        return f"({hidden} + 1)" if self.offset else hidden

    def scale_formula(self, weights: str, multipliers: Mapping[str, str]) -> str:
        scaled = f"{grouped(multipliers[''])} {weights}" if "" in multipliers else weights
        if "key" not in multipliers or "value" not in multipliers:
            return scaled
        value, key = diagonal(multipliers["value"]), diagonal(multipliers["key"])
        return f"[{value} {scaled} {key}]"

    def gradient_products(self, key_dim: int, value_dim: int) -> int:
        sizes = {name: prod(leaf.shape) for name, leaf in self.leaves(key_dim, value_dim).items()}
        # The error passes back through every matrix but those that meet the key.
        first = sizes["layer_0"] + sizes.get("gate", 0)
        return 2 * sum(sizes.values()) - first - sizes.get("offset", 0)
