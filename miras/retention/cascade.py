"""A chain of ever slower copies."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.retention import Retention
from miras.token import Buffers, Token, Weights


class Cascade(Retention):
    """Weights leak into a chain of slower and slower levels, and out of them again.

    capacity_j (u_j' - u_j) = g_(j-1) (u_(j-1) - u_j) + g_j (u_(j+1) - u_j), j = 1..levels,
    with W = u_1, capacity_j = 2^(j-1), g_j = coupling 2^(1-j), g_0 = 0 and u_(levels+1) = 0. What
    is written to W fades like age^(-1/2) up to an age of about 4^levels, not exponentially. All
    levels start at the initial weights. Those below the first are kept beside W, `[batch, heads,
    levels - 1, *leaf]`. The chain is linear, so a normaliser goes through it as values do.

    Source: Benna and Fusi, Computational principles of synaptic memory consolidation (Nature
    Neuroscience 2016), the linear chain; coupling 1/4 from the project's notes. Differs: real
    numbers without noise, and no limit on how much a level can hold.
    """

    kind: Literal["cascade"] = "cascade"
    levels: int = Field(default=6, ge=2, le=16, description="copies, the weights included")
    coupling: float = Field(
        default=0.25, gt=0.0, le=0.5, description="flow between the first two levels"
    )
    of_weights: ClassVar[bool] = True
    fades: ClassVar[bool] = True
    chained: ClassVar[str] = "cascade"

    @property
    def plain(self) -> bool:
        return False

    @property
    def least_kept(self) -> float:
        return 1 - self.coupling

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        slower = {
            name: torch.stack([leaf] * (self.levels - 1), dim=2) for name, leaf in weights.items()
        }
        return {"cascade": slower}

    def transition(self, like: Tensor) -> Tensor:
        each = torch.eye(self.levels, dtype=like.dtype, device=like.device)
        return self._flow(each[None, None])[0, 0]

    def keep(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        kept: Weights = {}
        slower: Weights = {}
        for name, leaf in weights.items():
            moved = self._flow(torch.cat((leaf[:, :, None], buffers["cascade"][name]), dim=2))
            kept[name], slower[name] = moved[:, :, 0], moved[:, :, 1:]
        return kept, buffers | {"cascade": slower}

    def keep_formula(self, retained: str, gates: Mapping[str, str]) -> tuple[str, list[str]]:
        flow = f"f_j = {self.coupling:g} · 2^(1−j) (u_j − u_(j+1))"
        ends = f"f_0 = 0, u_1 = {retained}, u_{self.levels + 1} = 0"
        return "u_1", [f"u_j ← u_j + 2^(1−j) (f_(j−1) − f_j), {flow}, {ends}"]

    def _flow(self, levels: Tensor) -> Tensor:
        """One token of the chain; `levels [batch, heads, levels, *leaf]`."""
        shape = (self.levels, *[1] * (levels.ndim - 3))
        # halves[j] = 2^-j, exact in every floating type
        halves = torch.ldexp(levels.new_ones(self.levels), -torch.arange(self.levels)).view(shape)
        nothing = torch.zeros_like(levels[:, :, :1])
        # What flows down from each level to the next; nothing comes back from the last.
        down = self.coupling * halves * (levels - torch.cat((levels[:, :, 1:], nothing), dim=2))
        arriving = torch.cat((nothing, down[:, :, :-1]), dim=2)
        return levels + halves * (arriving - down)
