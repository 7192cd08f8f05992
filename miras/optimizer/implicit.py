"""The step to the exact minimiser of loss plus distance."""

from typing import ClassVar, Literal

from torch import Tensor

from miras.gate import grouped
from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class Implicit(Stepping):
    """W_t = argmin |W - W'|^2 / 2 + step |W k - v|^2 / 2, W' the retained memory.

    Equal to gradient descent with step / (1 + step |k|^2), for a linear memory under `l2`.

    Source: Longhorn (arXiv 2407.14207), theorem 3.1, without its diagonal approximation.
    """

    kind: Literal["implicit"] = "implicit"
    plain: ClassVar[bool] = True
    quadratic_only: ClassVar[bool] = True

    def effective(self, step: Tensor, sensitivity: Tensor) -> Tensor:
        return step / (1 + step * sensitivity)

    def step_formula(self, step: str, sensitivity: str) -> str:
        moved = step if sensitivity == "1" else f"{grouped(step)} {sensitivity}"
        return f"{grouped(step)} / (1 + {moved})"

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        return {name: -leaf for name, leaf in step_gradient.items()}, {}
