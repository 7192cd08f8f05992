"""The step of a discretised linear system."""

import math
from collections.abc import MutableMapping
from typing import Literal

from torch import Tensor, nn

from miras.gate import Gate, Site
from miras.part import SpecError


class Timescale(Gate):
    """g = dt of the `mamba` retention gate of the same layer: what decays faster writes more.

    Source: Mamba (arXiv 2312.00752), section 3.2, with the Euler discretisation of B that its code
    uses.
    """

    kind: Literal["timescale"] = "timescale"

    def ceiling(self, high: float) -> float:
        return math.inf

    def formula(self) -> str:
        return "dt of the retention gate"

    def build(self, site: Site) -> nn.Module:
        return _Timescale()


class _Timescale(nn.Module):
    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        if "timescale" not in shared:
            raise SpecError(
                "step timescale is the dt of a retention gate of kind mamba without per_channel:"
                " use that gate, or another step such as sigmoid"
            )
        return shared["timescale"]
