"""One explicit gradient step per token."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.optimizer import Stepping, Weights


class GradientDescent(Stepping):
    """A_t = alpha_t A_{t-1} - step_t * gradient_t.

    Source: MIRAS (arXiv 2504.13173), equation 5; with `chunk` > 1 TTT (arXiv 2407.04620), section
    2.4.
    """

    kind: Literal["gd"] = "gd"
    plain: ClassVar[bool] = True

    def update(
        self, step_gradient: Weights, buffers: Mapping[str, Weights], gates: Mapping[str, Tensor]
    ) -> tuple[Weights, dict[str, Weights]]:
        return {name: -leaf for name, leaf in step_gradient.items()}, {}
