"""Keys tied to the retention gate."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from miras.features import Features


class Complement(Features):
    """phi(k) = 1 - alpha, phi(q) = silu(q): write exactly what is forgotten; the key is not used.

    alpha is the key-axis retention gate of the same token.

    Source: HGRN2 (arXiv 2404.07904), equation 9.
    """

    kind: Literal["complement"] = "complement"
    needs_decay: ClassVar[bool] = True

    def map(
        self, query: Tensor, key: Tensor, gates: Mapping[str, Tensor], position: Tensor
    ) -> tuple[Tensor, Tensor]:
        return F.silu(query), 1 - gates["decay_key"]

    def formula(self, query: str, key: str, gates: Mapping[str, str]) -> tuple[str, str]:
        return f"silu({query})", f"1 − {gates['decay_key']}"
