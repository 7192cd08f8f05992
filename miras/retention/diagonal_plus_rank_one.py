"""A decay, and what is stored at one address taken away."""

from collections.abc import Mapping
from math import inf
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Axis, Signal, Use, grouped, uses
from miras.gate.constant import Constant
from miras.gate.sigmoid import Sigmoid
from miras.retention import Decaying
from miras.token import Buffers, Token, Weights


class DiagonalPlusRankOne(Decaying):
    """W' = W_{t-1} Diag(alpha_t) - (W e_t) (a_t * e_t)^T before the write, |e_t| = 1.

    What the memory answers to the address e is erased, a part a_t of it, per head or per key
    channel. e is (key * kappa) / |key * kappa| with kappa learned per head and key channel, or the
    direction of a vector that a gate `address` makes of the input.
    order `together`: W = W_{t-1}, the undecayed memory, a in [0, 1] (RWKV-7);
    order `after`: W = W_{t-1} Diag(alpha_t), a in [0, 2], above 1 what was stored comes back with
    another sign (an extra erase before the delta rule, EDA).
    On stored pairs the transition acts on their keys, k_j <- k_j - (k_j . e) (a * e) (PaTH).

    Source: RWKV-7 (arXiv 2503.14456), the update of its state; PaTH (arXiv 2505.16381) on stored
    keys; EDA, reconstructed: its text was not consulted.
    """

    kind: Literal["diagonal_plus_rank_one"] = "diagonal_plus_rank_one"
    axis: Axis = Field(default="scalar", description="of the decay: per head or per channel")
    gate: AnyGate = Field(default=Constant(), description="how the multiplier alpha is made")
    address: AnyGate | None = Field(
        default=None, description="how the erased address is made; left out, from the key"
    )
    removal: AnyGate = Field(default=Sigmoid(), description="how much is erased there")
    removal_axis: Literal["scalar", "key"] = Field(
        default="scalar", description="one removal per head, or one per key channel"
    )
    order: Literal["together", "after"] = Field(
        default="together", description="whether what is erased is read before or after the decay"
    )
    fades: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_keys(self) -> bool:
        return True

    @property
    def least_kept(self) -> float:
        return 1 - min(self.removal.ceiling(self._most), self._most)

    @property
    def _most(self) -> float:
        return 1.0 if self.order == "together" else 2.0

    def uses(self) -> list[Use]:
        meaning = "how much of what is stored at the erased address goes"
        found = uses("removal", self.removal_axis, self.removal, meaning, high=self._most)
        if self.address is not None:
            meaning = "the erased address, of which the direction counts"
            found += uses("erased", "key", self.address, meaning, low=-inf)
        return super().uses() + found

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        if self.address is not None:
            return []
        meaning = "kappa, on the key as the erased address"
        return [Signal("erased_scale", (heads, key_dim), -inf, inf, False, meaning, mean=1.0)]

    def link(self, accumulator: Tensor) -> Tensor:
        return accumulator

    @property
    def removes(self) -> Literal["", "together", "after"]:
        return self.order

    def gone(self, key: Tensor, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        raw = gates["erased_key"] if self.address else key * gates["erased_scale"]
        address = F.normalize(raw, dim=-1, eps=1e-6)
        share = gates["removal_key"] if self.removal_axis == "key" else gates["removal"][..., None]
        return address, share * address

    def keep(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        assert token.weights is not None
        name = "keys" if "keys" in weights else "matrix"
        address, along = self.gone(token.key, token.gates)
        read = token.weights[name] if self.order == "together" else weights[name]
        gone = (read @ address[..., None]) * along[..., None, :]
        return weights | {name: weights[name] - gone}, buffers

    def keep_formula(self, retained: str, gates: Mapping[str, str]) -> tuple[str, list[str]]:
        beside, address = self._gone(gates)
        read = "W_{t−1}" if self.order == "together" else retained
        return f"({retained} − ({read} ε_t) {beside}ᵀ)", [address]

    def pairs_formula(self, gates: Mapping[str, str]) -> list[str]:
        beside, address = self._gone(gates)
        return [address, f"k_i ← k_i − (k_i · ε_t) {beside} for the keys in P_{{t−1}}"]

    def _gone(self, gates: Mapping[str, str]) -> tuple[str, str]:
        """What is taken along the address, and the address."""
        raw = gates["erased_key"] if self.address else "(κ ⊙ k_t)"
        per_channel = self.removal_axis == "key"
        removal = grouped(gates["removal_key" if per_channel else "removal"])
        beside = f"({removal} ⊙ ε_t)" if per_channel else f"{removal} ε_t"
        return beside, f"ε_t = {raw} / ‖{raw}‖"
