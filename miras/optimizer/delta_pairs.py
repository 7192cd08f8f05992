"""Store what attention does not already answer."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Optimizer


class DeltaPairs(Optimizer):
    """u_t = v_t - step_t sum_(j<t) softmax_j(s k_t . k_j) u_j; the pair (k_t, u_t) is stored.

    The delta rule with the kernel of attention: before a value is stored, what the memory answers
    to its key is taken off.

    Source: DeltaFormer (arXiv 2505.19488), equations of its recurrence.
    """

    kind: Literal["delta_pairs"] = "delta_pairs"
    step: AnyGate = Field(default=Sigmoid(), description="how much of the answer is taken off")
    stores_pairs: ClassVar[bool] = True
    takes_off: ClassVar[bool] = True

    def uses(self) -> list[Use]:
        return [Use("step", "", self.step, 0.0, 1.0, "how much of the old answer is taken off")]

    def stored(self, value: Tensor, prediction: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        return value - gates["step"][..., None] * prediction
