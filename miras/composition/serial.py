"""One layer after the other, each with its own projections."""

from typing import TYPE_CHECKING, Any, Literal, cast

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras.composition import CompositionState, Layered, Shell

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Serial(Layered):
    """x_{i+1} = L_i(x_i), or x_i + L_i(norm(x_i)) with `residual`; y = x_n.

    Each L_i is a layer around a cell: projections, short convolution, gates and norm of its own.

    Source: memory as a layer, Titans (arXiv 2501.00663), section 4.3: memory, then attention.
    """

    compose: Literal["serial"] = "serial"
    of: tuple["AnyCell", ...] = Field(min_length=2, description="the memories, first to last")
    residual: bool = Field(
        default=False, description="add what goes into a layer to what comes out"
    )

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return self.of

    def build(self, shell: Shell) -> nn.Module:
        return _Serial(self, shell)

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        change = "x_{i,t} + L_i(norm(x_{i,t}))" if self.residual else "L_i(x_{i,t})"
        where = ("L_i: a layer around cell i", "x_{0,t} = x_t")
        return (f"x_{{i+1,t}} = {change}",), (f"y_t = x_{{{len(self.of)},t}}",), where


class _Serial(nn.Module):
    def __init__(self, spec: Serial, shell: Shell) -> None:
        super().__init__()
        self.residual = spec.residual
        self.layers = nn.ModuleList(shell.build(cell, shell.conv) for cell in spec.of)

    def start(self, x: Tensor) -> CompositionState:
        """The state before the first token of a batch like `x`."""
        return CompositionState(0, tuple(cast(Any, layer).start(x) for layer in self.layers), {})

    def forward(self, x: Tensor, state: CompositionState) -> tuple[Tensor, CompositionState]:
        """Outputs for a piece of a sequence and the state for the next piece."""
        after: list[object] = []
        for layer, before in zip(self.layers, state.cells, strict=True):
            seen = F.rms_norm(x, x.shape[-1:], eps=1e-5) if self.residual else x
            y, new = layer(seen, before)
            x = x + y if self.residual else y
            after.append(new)
        return x, CompositionState(state.position + x.shape[1], tuple(after), {})
