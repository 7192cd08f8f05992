"""Any error in chunks."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from miras.plans.correcting import Correcting

if TYPE_CHECKING:
    from miras.memory import Memory


class Substitution(Correcting):
    """Errors that are no linear function: the chunk's rows are found one after the other.

    u_i = -error(known_i + sum_j<i gram_ij u_j): forward substitution through the triangle that the
    delta rule solves at once. A row costs O(chunk value_dim); no weights are formed per token.

    Source: own derivation, from the triangular form of DeltaNet (arXiv 2406.06484), section 3.2.
    """

    kind: Literal["substitution"] = "substitution"
    chunk: int = Field(default=16, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim), row by row"

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e6

    def solve(
        self, memory: "Memory", piece: dict[str, Tensor], gram: Tensor, known: Tensor
    ) -> Tensor:
        bias, rows = memory.bias, list[Tensor]()
        count = known.shape[2]
        gates = {use.name: piece[use.name].unbind(2) for use in bias.uses()}
        rest, values, columns = known, piece["value"].unbind(2), gram.unbind(-1)
        limits, sizes = (
            piece[name].unbind(2) if name in piece else [None] * count
            for name in ("limit", "step_value")
        )
        for i in range(count):
            prediction, rest = cast(Any, rest).split([1, count - i - 1], dim=2)
            now = {name: gate[i] for name, gate in gates.items()}
            row = -bias.error(prediction[:, :, 0], values[i], now, limits[i])
            size = sizes[i]
            rows.append(row if size is None else row * size)
            if i + 1 < count:
                rest = torch.addcmul(rest, columns[i][..., i + 1 :, None], rows[i][:, :, None])
        return torch.stack(rows, dim=2)
