"""Slots that attend to each other."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.dream import Dream
from miras.gate import Signal


class SlotAttention(Dream):
    """M <- (M + step T(M)) / |.| per slot, T a transformer over the slots without positions.

    Each of the layers of T: x <- x + A(norm(x)), x <- x + W2 relu(W1 norm(x) + b1) + b2, with A
    self-attention of `heads` heads and the norm over the numbers of one slot. Where the size of a
    slot is no multiple of `heads`, their greatest common divisor is taken.

    Source: the synthesizer of MemNet (github.com/Ant1pozitive/memory-is-all-you-need).
    Differs: no dropout inside T; matrices start normal with the spread that they have there, where
    they are uniform.
    """

    kind: Literal["slot_attention"] = "slot_attention"
    layers: int = Field(default=2, ge=1, le=64, description="layers of T")
    heads: int = Field(default=4, ge=1, le=64, description="heads of its attention")
    expansion: int = Field(default=2, ge=1, le=16, description="hidden units over the slot's size")
    step: float = Field(default=0.1, ge=0.0, le=10.0, description="how far T moves a slot")
    normalise: bool = Field(default=True, description="put slots on length 1 afterwards")

    def constants(self, heads: int, slots: int, dim: int) -> list[Signal]:
        wide = self.expansion * dim
        found: list[Signal] = []

        def add(name: str, shape: tuple[int, ...], mean: float = 0.0, std: float = 0.0) -> None:
            meaning = "weights of the dream's transformer"
            shape = (heads, *shape)
            found.append(Signal(name, shape, -math.inf, math.inf, False, meaning, mean, std))

        for layer in range(self.layers):
            own = f"dream_{layer}"
            add(f"{own}_attend_scale", (dim,), 1.0)
            add(f"{own}_attend_shift", (dim,))
            add(f"{own}_attend_weight", (3 * dim, dim), std=(2 * dim) ** -0.5)
            add(f"{own}_attend_bias", (3 * dim,))
            add(f"{own}_merge_weight", (dim, dim), std=(3 * dim) ** -0.5)
            add(f"{own}_merge_bias", (dim,))
            add(f"{own}_think_scale", (dim,), 1.0)
            add(f"{own}_think_shift", (dim,))
            add(f"{own}_inner_weight", (wide, dim), std=(3 * dim) ** -0.5)
            add(f"{own}_inner_bias", (wide,), std=(3 * dim) ** -0.5)
            add(f"{own}_outer_weight", (dim, wide), std=(3 * wide) ** -0.5)
            add(f"{own}_outer_bias", (dim,), std=(3 * wide) ** -0.5)
        return found

    def dream(self, slots: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        x = slots
        for layer in range(self.layers):
            own = f"dream_{layer}_"
            now = {name[len(own) :]: gate for name, gate in gates.items() if name.startswith(own)}
            x = x + self._attend(_norm(x, now, "attend"), now)
            hidden = F.relu(_linear(_norm(x, now, "think"), now, "inner"))
            x = x + _linear(hidden, now, "outer")
        new = slots + self.step * x
        return F.normalize(new, dim=-1, eps=1e-6) if self.normalise else new

    def _attend(self, x: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        heads = math.gcd(self.heads, x.shape[-1])
        mixed = _linear(x, gates, "attend").reshape(*x.shape[:-1], 3, heads, -1)
        # [..., heads, slots, dim / heads] each
        query, key, value = (part.transpose(-3, -2) for part in mixed.unbind(-3))
        found = F.scaled_dot_product_attention(query, key, value)
        return _linear(found.transpose(-3, -2).flatten(-2), gates, "merge")

    def formula(self, slots: str) -> str:
        new = f"{slots} + {self.step:g} T({slots})"
        return f"unit({new})" if self.normalise else new


def _norm(x: Tensor, gates: Mapping[str, Tensor], name: str) -> Tensor:
    scale, shift = gates[f"{name}_scale"], gates[f"{name}_shift"]
    return F.layer_norm(x, x.shape[-1:]) * scale[..., None, :] + shift[..., None, :]


def _linear(x: Tensor, gates: Mapping[str, Tensor], name: str) -> Tensor:
    """x `[..., heads, slots, in]`, weight `[heads, out, in]`."""
    weight, bias = gates[f"{name}_weight"], gates[f"{name}_bias"]
    return torch.einsum("...ni,...oi->...no", x, weight) + bias[..., None, :]
