"""Powers of a key up to a degree, with learned coefficients."""

from collections.abc import Mapping
from math import factorial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.features import Features
from miras.fused import unit_norm
from miras.gate import Signal


class Polynomial(Features):
    """phi(x) = [a_i vec(x (x) ... (x) x), i times, for i = 0, ..., degree], a_i = 1 / i! at first.

    form `tensor`:  all products of i entries, of size 1 + d + ... + d^degree; the kernel
                    phi(q) . phi(k) is sum_i a_i^2 (q . k)^i
    form `entries`: sum_i a_i x^i for i >= 1, entry by entry, of size d: what a deep memory with a
                    residual can take

    The a_i are learned per head and do not change along the sequence. `unit` gives keys length 1
    first, so that high powers stay small.

    Source: Atlas (arXiv 2505.23735), section 3, polynomial feature maps with learned coefficients.
    Differs: the paper does not print which monomials of several entries it keeps; `tensor` keeps
    all, in every order.
    """

    kind: Literal["polynomial"] = "polynomial"
    degree: int = Field(default=2, ge=1, le=4, description="highest power")
    form: Literal["tensor", "entries"] = "tensor"
    unit: bool = Field(default=True, description="give query and key length 1 first")

    def constants(self, heads: int, key_dim: int) -> list[Signal]:
        infinite = float("inf")
        first = 0 if self.form == "tensor" else 1
        return [
            Signal(
                f"coefficient_{power}",
                (heads,),
                -infinite,
                infinite,
                False,
                f"a_{power} of the polynomial key map",
                mean=1 / factorial(power),
            )
            for power in range(first, self.degree + 1)
        ]

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        def expand(x: Tensor) -> Tensor:
            x = unit_norm(x) if self.unit else x
            power = torch.ones_like(x[..., :1])
            found = [] if self.form == "entries" else [gates["coefficient_0"][..., None] * power]
            for index in range(1, self.degree + 1):
                if self.form == "entries":
                    power = power * x
                else:
                    power = (power[..., :, None] * x[..., None, :]).flatten(-2)
                found.append(gates[f"coefficient_{index}"][..., None] * power)
            return torch.stack(found).sum(0) if self.form == "entries" else torch.cat(found, -1)

        return expand(query), expand(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        def expand(x: str) -> str:
            unit = f"{x} / ‖{x}‖" if self.unit else x
            sign = "^⊗i" if self.form == "tensor" else "^i, entry by entry,"
            first = 0 if self.form == "tensor" else 1
            join = "all" if self.form == "tensor" else "sum of all"
            return f"[{join} a_i ({unit}){sign} for i = {first}, …, {self.degree}]"

        return expand(query), expand(key)

    def width(self, key_dim: int) -> int:
        if self.form == "entries":
            return key_dim
        return sum(key_dim**power for power in range(self.degree + 1))
