"""One explicit gradient step per token."""

from typing import ClassVar, Literal

from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class GradientDescent(Stepping):
    """A_t = alpha_t A_{t-1} - step_t * gradient_t.

    Source: MIRAS (arXiv 2504.13173), equation 5; with `chunk` > 1 TTT (arXiv 2407.04620), section
    2.4.
    """

    kind: Literal["gd"] = "gd"
    plain: ClassVar[bool] = True

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        return {name: -leaf for name, leaf in step_gradient.items()}, {}
