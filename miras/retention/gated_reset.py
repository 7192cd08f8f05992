"""A gate that takes the memory back to where it started."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field

from miras.gate import AnyGate, Use, grouped
from miras.gate.sigmoid import Sigmoid
from miras.retention import Retention
from miras.token import Buffers, Token, Weights


class GatedReset(Retention):
    """W' = W_{t-1} + restart_t (W_0 - W_{t-1}) before the write, restart_t in [0, 1].

    With a `threshold` the pull is all or nothing: 1 where the gate is at or above it, 0 elsewhere;
    the gate itself is what gradients pass through. W_0 is kept beside the weights.

    Source: the reset of local memories in TNT (arXiv 2511.07343), which comes at fixed times there,
    with the gate of a forget gate (LSTM, Hochreiter and Schmidhuber 1997). The straight-through
    gradient is that of arXiv 1308.3432.
    """

    kind: Literal["gated_reset"] = "gated_reset"
    gate: AnyGate = Field(default=Sigmoid(bias=-4.0), description="how far back the weights go")
    threshold: float | None = Field(
        default=None, gt=0.0, le=1.0, description="reset altogether from here on, else not at all"
    )
    of_weights: ClassVar[bool] = True
    fades: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def least_kept(self) -> float:
        return 0.0

    def uses(self) -> list[Use]:
        meaning = "how far the memory goes back to its initial weights"
        return [Use("restart", "", self.gate, 0.0, 1.0, meaning)]

    def begin(self, weights: Weights, key: object, value: object) -> Buffers:
        return {"initial": weights}

    def keep(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        back = token.gates["restart"]
        if self.threshold is not None:
            back = (back >= self.threshold).to(back.dtype) + back - back.detach()
        kept: Weights = {}
        for name, leaf in weights.items():
            share = back.reshape(*back.shape, *[1] * (leaf.ndim - back.ndim))
            kept[name] = torch.lerp(leaf, buffers["initial"][name], share)
        return kept, buffers

    def keep_formula(self, retained: str, gates: Mapping[str, str]) -> tuple[str, list[str]]:
        back = grouped(gates["restart"])
        if self.threshold is not None:
            back = f"[{back} ≥ {self.threshold:g}]"
        return f"({retained} + {back} (W_0 − {retained}))", []
