"""One number per channel, without keys."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights, turned
from miras.gate import AnyGate, Axis, Signal, Use, grouped


class Vector(Architecture):
    """w in R^value, prediction w whatever the key, starting at zero.

    With `recurrence` the stored value is tanh(v + R h), h the previous output, R learned per head;
    with a `reset` gate r it is tanh(v + r * (R h + b)). `squash` reads tanh(w), and an `output`
    gate multiplies the read. So LSTM and GRU are sentences of the grammar.

    With `normaliser` the read is w / n, n_t = alpha_t n_{t-1} + step_t, channel by channel: a mean
    of what was written. `bonus` reads as if the token were written with exp(u) times its step, u
    learned. `rotation` turns pairs of entries by pi (2 g - 1), g the gate, before they decay: a
    complex number per pair.

    Source: LSTM (Hochreiter and Schmidhuber 1997, with forget gate), GRU (arXiv 1406.1078, with the
    reset after the product, as in torch.nn.GRU); normaliser xLSTM (arXiv 2405.04517), equations
    8-10; bonus RWKV-4 (arXiv 2305.13048), equation 16; rotation LRU (arXiv 2303.06349), section 3.
    """

    kind: Literal["vector"] = "vector"
    recurrence: bool = Field(default=False, description="the stored value is tanh(v + R h)")
    reset: AnyGate | None = Field(default=None, description="gate on what R h adds")
    squash: bool = Field(default=False, description="read tanh of the weights")
    output: AnyGate | None = Field(default=None, description="gate on the read")
    normaliser: bool = Field(default=False, description="divide by the steps of all writes")
    bonus: bool = Field(default=False, description="the token itself counts exp(u) times its step")
    rotation: AnyGate | None = Field(default=None, description="gate that turns pairs of entries")
    linear: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    factored: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "value"})
    symbol: ClassVar[str] = "w"

    @property
    def plain(self) -> bool:
        return not (self.normaliser or self.bonus or self.rotation)

    @property
    def sees_itself(self) -> bool:
        return self.bonus

    @property
    def recurrent(self) -> bool:
        return self.recurrence

    def uses(self) -> list[Use]:
        gates = (("reset", self.reset), ("output", self.output))
        found = [
            Use(name, "value", gate, 0.0, 1.0, meaning)
            for (name, gate), meaning in zip(
                gates, ("what R h adds to the value", "what of the read is let out"), strict=True
            )
            if gate is not None
        ]
        if self.rotation is not None:
            meaning = "how far pairs of entries are turned"
            found.append(Use("rotation", "pair", self.rotation, 0.0, 1.0, meaning))
        return found

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        infinite = float("inf")
        square, line = (heads, value_dim, value_dim), (heads, value_dim)
        found: list[Signal] = []
        if self.recurrence:
            meaning, std = "R of the stored value", value_dim**-0.5
            found.append(Signal("recurrence", square, -infinite, infinite, False, meaning, std=std))
            if self.reset is not None:
                found.append(
                    Signal("recurrence_shift", line, -infinite, infinite, False, "b beside R h")
                )
        if self.bonus:
            meaning = "u, the logarithm of what the token itself counts more"
            found.append(Signal("bonus", line, -infinite, infinite, False, meaning))
        return found

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        found = {"vector": Leaf((value_dim,), ("value",), 0.0)}
        if self.normaliser:
            found["normaliser"] = Leaf((value_dim,), ("value",), 0.0, nonnegative=True)
        return found

    def carry(self, weights: Weights, gates: Gates) -> Weights:
        if self.rotation is None:
            return weights
        return weights | {"vector": turned(weights["vector"], gates["rotation"])}

    def candidate(self, value: Tensor, gates: Gates, output: Tensor) -> Tensor:
        if not self.recurrence:
            return value
        seen = torch.einsum("hrc,bhc->bhr", gates["recurrence"], output)
        if self.reset is not None:
            seen = gates["reset"] * (seen + gates["recurrence_shift"])
        return torch.tanh(value + seen)

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        if not self.normaliser:
            return weights["vector"]
        return torch.cat((weights["vector"], weights["normaliser"]), dim=-1)

    def target(self, key: Tensor, value: Tensor) -> Tensor:
        if not self.normaliser:
            return value
        return torch.cat((value, torch.ones_like(value)), dim=-1)

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        read = self.predict(weights, query, gates)
        return self._shown(read, gates) if self.plain else read

    def local(self, query: Tensor, key: Tensor, value: Tensor, gates: Gates) -> Tensor | None:
        if not self.bonus:
            return None
        step = gates["step_value"] if "step_value" in gates else gates["step"][..., None]
        strength = step * gates["bonus"].exp()
        target = self.target(key, value)
        return target * (torch.cat((strength, strength), -1) if self.normaliser else strength)

    def let_out(self, read: Tensor, gates: Gates) -> Tensor:
        if self.plain:
            return read
        if self.normaliser:
            summed, total = read.chunk(2, dim=-1)
            read = summed / total.clamp_min(1e-12)
        return self._shown(read, gates)

    def _shown(self, read: Tensor, gates: Gates) -> Tensor:
        read = torch.tanh(read) if self.squash else read
        return gates["output"] * read if self.output is not None else read

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
        out, step = weights, grouped(gates.get("step_value", gates.get("step", "1")))
        if self.bonus:
            out = f"({weights} + exp(u) ⊙ {step} ⊙ v_t)"
        if self.normaliser:
            total = weights.replace("w", "n", 1)
            out += f" / ({total} + exp(u) ⊙ {step})" if self.bonus else f" / {total}"
        out = f"tanh({out})" if self.squash else out
        return out if self.output is None else f"{gates['output']} ⊙ {out}"

    def meaning(self) -> str:
        found = ["n: as w, with 1 for every value"] * self.normaliser
        if self.rotation is not None:
            found.append("pairs of entries of w turn by π (2 rotation_t − 1) before w decays")
        return "; ".join(found)

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
