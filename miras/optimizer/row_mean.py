"""One step per slot, by the mean of what was to be written there."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class RowMean(Stepping):
    """A_i <- A_i - (factor / N_i) step * gradient_i for slot i, N_i the tokens that mean it.

    N_i counts the tokens of a `batch` (of all sequences, if the memory is `shared`) whose address
    has a weight above zero at slot i: tokens that write to one slot agree on the mean of what they
    bring. Weights that are no slots, such as sub-keys, take plain steps. `factor` is c: 1 in the
    paper, the number of slots that a token reads in the authors' code, which makes up for weights
    around 1 / c. Slots are the rows of weights whose names end in `table`.

    Source: FwPKM (arXiv 2601.00671), the update of the values; the factor from the authors' code.
    """

    kind: Literal["row_mean"] = "row_mean"
    factor: float = Field(default=1.0, gt=0.0, le=1024.0, description="c, on the mean of a slot")
    of_slots: ClassVar[bool] = True

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        tables = [leaf for name, leaf in weights.items() if name.endswith("table")]
        table = tables[0] if tables else next(iter(weights.values()))
        reads = table.new_zeros(*table.shape[:3])
        return super().begin(weights, key, value) | {"reads": {"slot": reads}}

    def visit(self, buffers: Buffers, reads: Tensor) -> Buffers:
        if self.shared:
            reads = reads.sum(0, keepdim=True).expand_as(reads)
        return {"reads": {"slot": buffers["reads"]["slot"] + reads}}

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        reads = buffers["reads"]["slot"]
        share = self.factor / reads.clamp_min(1.0)
        change = {
            name: -leaf * share.reshape(*share.shape, *[1] * (leaf.ndim - 3))
            if leaf.shape[2] == reads.shape[2]
            else -leaf
            for name, leaf in step_gradient.items()
        }
        return change, {"reads": {"slot": torch.zeros_like(reads)}}

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        return [f"{new} = {retained} {change} · {self.factor:g} / N_i for slot i"]
