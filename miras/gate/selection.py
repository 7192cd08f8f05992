"""The step of a selection with a temperature."""

import math
from collections.abc import MutableMapping
from typing import Literal

from torch import Tensor, nn

from miras.gate import Gate, Site
from miras.part import SpecError


class Selection(Gate):
    """g = s^t of the `tempered` retention gate of the same layer: what forgets more writes more.

    Source: Rodimus (arXiv 2410.06577), data-dependent tempered selection.
    """

    kind: Literal["selection"] = "selection"

    def ceiling(self, high: float) -> float:
        return math.inf

    def formula(self) -> str:
        return "s^t of the retention gate"

    def build(self, site: Site) -> nn.Module:
        return _Selection()


class _Selection(nn.Module):
    def forward(self, x: Tensor, shared: MutableMapping[str, Tensor]) -> Tensor:
        if "selection" not in shared:
            raise SpecError(
                "step selection is s^t of a retention gate of kind tempered: use that gate, or"
                " another step such as sigmoid"
            )
        return shared["selection"]
