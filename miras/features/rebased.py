"""A learned square."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.features import Features
from miras.gate import Signal


class Rebased(Features):
    """phi(x) = vec(z z^T), z = gain * LN(x) + shift, so that phi(q) . phi(k) = (z_q . z_k)^2.

    Gain and shift are learned per head and channel, the same for query and key; LN subtracts the
    mean of the entries and divides by their spread. The kernel can become zero, which the Taylor
    polynomial of Based cannot.

    Source: ReBased (arXiv 2402.10644), section 3: the quadratic kernel with a learned affine map.
    """

    kind: Literal["rebased"] = "rebased"
    positive_kernel: ClassVar[bool] = True

    def constants(self, heads: int, key_dim: int) -> list[Signal]:
        infinite, shape = float("inf"), (heads, key_dim)
        gain = Signal("key_gain", shape, -infinite, infinite, False, "gain of the keys", mean=1.0)
        return [gain, gain._replace(name="key_shift", meaning="shift of the keys", mean=0.0)]

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        def expand(x: Tensor) -> Tensor:
            centred = x - x.mean(-1, keepdim=True)
            spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
            z = gates["key_gain"] * centred / spread + gates["key_shift"]
            return (z[..., :, None] * z[..., None, :]).flatten(-2)

        return expand(query), expand(key)

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        def expand(x: str) -> str:
            return f"vec(z zᵀ), z = γ LN({x}) + b"

        return expand(query), expand(key)

    def width(self, key_dim: int) -> int:
        return key_dim**2
