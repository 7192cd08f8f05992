"""Linear forgetting."""

from typing import Literal

from torch import Tensor

from miras.retention import Decaying


class Decay(Decaying):
    """W_t = alpha_t W_{t-1} + change_t, alpha in (0, 1], along an axis of the weights.

    `key` multiplies columns (W Diag(alpha), as GLA and KDA do), `value` rows, `both` both.

    Source: MIRAS (arXiv 2504.13173), section 5.2 with the decoupled form alpha W - eta g that its
    models use; the coupled L2 form would also multiply the step.
    """

    kind: Literal["decay"] = "decay"

    def link(self, accumulator: Tensor) -> Tensor:
        return accumulator
