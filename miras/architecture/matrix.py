"""A linear map from keys to values."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Pull, Weights, apply, turned
from miras.gate import AnyGate, Axis, Signal, Use
from miras.part import SpecError


class Matrix(Architecture):
    """W in R^(value x key), prediction W k, read W q, starting at zero.

    With `normaliser` the read is W q / n, n = z . q, z_t = alpha_t z_{t-1} + step_t k_t: the same
    memory with a value channel of ones appended (rule R9 of docs/rules.md). `denominator` says what
    it is divided by: n itself, 1 + n, or max(|n|, 1), which needs no positive features.

    `bonus` adds (q . (u * k)) v of the token itself to its read, u learned. `correction` reads with
    q - D p, p the key with which is asked what to erase, D learned. `rotation` turns pairs of
    entries of all keys that are stored by an angle of the token: pi (2 g - 1), g the gate.

    Source: fast weight programmers (Schmidhuber 1992; arXiv 2102.11174); the normaliser is equation
    9 of linear attention (arXiv 2006.16236), 1 + n PolySketchFormer's (arXiv 2310.01655), the
    maximum that of mLSTM (arXiv 2405.04517), equation 21; bonus RWKV-6 (arXiv 2404.05892), equation
    19; correction Comba (arXiv 2506.02475); rotation Mamba-3.
    """

    kind: Literal["matrix"] = "matrix"
    normaliser: bool = Field(default=False, description="divide reads by what was written in all")
    denominator: Literal["sum", "one_plus_sum", "absolute"] = Field(
        default="sum", description="of the normaliser: n, 1 + n or max(|n|, 1)"
    )
    bonus: bool = Field(default=False, description="the token itself counts with a weight u")
    correction: bool = Field(default=False, description="read with q minus a learned share of p")
    rotation: AnyGate | None = Field(default=None, description="gate that turns stored keys")
    initial_std: float = Field(
        default=0.0, ge=0.0, le=1.0, description="of initial weights, which are learned if above 0"
    )
    linear: ClassVar[bool] = True
    factored: ClassVar[bool] = True
    together: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "key", "value", "both"})

    @model_validator(mode="after")
    def _denominator_of_normaliser(self) -> "Matrix":
        if self.denominator != "sum" and not self.normaliser:
            raise SpecError(
                f"denominator: {self.denominator} is one of the normaliser: write normaliser: true,"
                " or leave denominator out"
            )
        return self

    @property
    def plain(self) -> bool:
        return not (self.bonus or self.correction or self.rotation)

    @property
    def of_tokens(self) -> bool:
        return True

    @property
    def turns(self) -> bool:
        return self.rotation is not None

    @property
    def sees_itself(self) -> bool:
        return self.bonus

    @property
    def matrices(self) -> bool:
        return True

    @property
    def normalised(self) -> bool:
        return self.normaliser

    def uses(self) -> list[Use]:
        if self.rotation is None:
            return []
        return [Use("rotation", "pair", self.rotation, 0.0, 1.0, "how far stored keys are turned")]

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        infinite, found = float("inf"), list[Signal]()
        if self.bonus:
            meaning = "u, what the token itself counts at its read"
            shape = (heads, key_dim)
            found.append(Signal("bonus", shape, -infinite, infinite, False, meaning, mean=0.5))
        if self.correction:
            meaning = "D, how much of the key is taken from the query"
            found.append(
                Signal("correction", (heads,), -infinite, infinite, False, meaning, mean=0.02)
            )
        return found

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {"matrix": Leaf((value_dim, key_dim), ("value", "key"), self.initial_std)}

    def carry(self, weights: Weights, gates: Gates) -> Weights:
        if self.rotation is None:
            return weights
        return {"matrix": turned(weights["matrix"], gates["rotation"][..., None, :])}

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return apply(weights["matrix"], key)

    def respond(self, weights: Weights, key: Tensor, gates: Gates) -> tuple[Tensor, Pull]:
        matrix = weights["matrix"]
        if matrix.shape[:-2] != key.shape[:-1]:
            return super().respond(weights, key, gates)  # many keys ask one matrix

        def pull(error: Tensor) -> Weights:
            return {"matrix": error[..., :, None] * key[..., None, :]}

        return self.predict(weights, key, gates), pull

    def aim(self, query: Tensor, key: Tensor, gates: Gates) -> Tensor:
        if not self.correction:
            return query
        if "erase" in gates:
            key = key * gates["erase"][..., None]
        elif "erase_key" in gates:
            key = key * gates["erase_key"]
        return query - gates["correction"][..., None] * key

    def local(self, query: Tensor, key: Tensor, value: Tensor, gates: Gates) -> Tensor | None:
        if not self.bonus:
            return None
        return (query * gates["bonus"] * key).sum(-1, keepdim=True) * value

    def divide(self, read: Tensor) -> Tensor:
        # One split: its derivative puts both parts side by side, two slices would add zeros.
        found, total = cast(Any, read).split((read.shape[-1] - 1, 1), dim=-1)
        if self.denominator == "one_plus_sum":
            total = total + 1
        elif self.denominator == "absolute":
            total = torch.maximum(total.abs(), torch.ones_like(total))
        else:
            total = total + 1e-6
        return found / total

    def formula(self, weights: str, key: str) -> str:
        return f"{weights} {key}"

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        if self.correction:
            query = f"({query} − D p_t)"
        read = self.formula(weights, query)
        return f"{read} + ({query} · (u ⊙ k_t)) v_t" if self.bonus else read

    def divide_formula(self, read: str, total: str) -> str:
        totals = {
            "sum": f"({total} + 1e-6)",
            "one_plus_sum": f"(1 + {total})",
            "absolute": f"max(|{total}|, 1)",
        }
        read = f"({read})" if self.bonus else read
        return f"{read} / {totals[self.denominator]}"

    def meaning(self) -> str:
        found = ["p_t: the key with which is asked what to erase"] * self.correction
        if self.rotation is not None:
            found.append("stored keys turn by π (2 rotation_t − 1) before W decays")
        return "; ".join(found)

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return f"{error} {key}ᵀ"
