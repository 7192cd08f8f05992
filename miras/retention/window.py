"""First in, first out."""

from typing import ClassVar, Literal

from pydantic import Field

from miras.retention import Retention
from miras.token import Buffers, Token, Weights


class Window(Retention):
    """Keep the last `size` stored pairs, the present one included; drop the oldest.

    Source: Longformer (arXiv 2004.05150), section 3.1, causal.
    """

    kind: Literal["window"] = "window"
    size: int = Field(default=64, ge=1, description="tokens kept")
    of_pairs: ClassVar[bool] = True

    @property
    def capacity(self) -> int:
        return self.size

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        return {name: leaf[:, :, -self.size :] for name, leaf in weights.items()}, buffers
