"""The delta rule in chunks."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from miras.definition import Prepared, step_sizes
from miras.plans import Plan
from miras.plans.span import chunks, heads_first, sides, spans

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Delta(Plan):
    """Writes that correct a linear prediction: one triangular solve per chunk (WY, UT transform).

    With b = step k, D the decay between two tokens and P that since the chunk's start,
    (I + stril(D * K B^T)) U = V - P * K W^T, then y = (D * Q B^T) U + P * Q W^T and
    W <- W decayed + U^T (B decayed to the end). A gradient at the weights before the decay of its
    token leaves that decay out of D and P in the first equation.

    Source: DeltaNet (arXiv 2406.06484), section 3.2; Gated DeltaNet (arXiv 2412.06464), section
    3.3; decays per key channel as in Kimi Linear (arXiv 2510.26692).
    """

    kind: Literal["delta"] = "delta"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(chunk (chunk + key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        architecture, step = memory.architecture, memory.stepping
        return (
            step is not None
            and step.plain
            and (step.every, step.chunk) == (1, 1)
            and step.step_axis in ("scalar", "key")
            and architecture.linear
            and architecture.keyed
            and memory.bias.residual
            and memory.bias.linear
            and memory.retention.identity_link
            and memory.retention.decays not in ("value", "both")
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 30.0 * (self.chunk + key_dim + value_dim)

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        ((name, weights),) = state.weights.items()
        step = memory.stepping
        assert step is not None
        late = step.gradient_at == "retained" or memory.retention.decays is None
        outputs: list[Tensor] = []
        for piece in chunks(_tokens(memory, inputs), self.chunk):
            query, key, write = piece["query"], piece["key"], piece["write"]
            _, decay = sides(spans(piece), ("value", "key"))
            if late:
                gram, known = decay.pairs(key, write), decay.from_start(key)
            else:
                # One token earlier: row i of the products is that of i - 1. The row that rolls
                # round to the top lies above the diagonal, where the solver does not look.
                gram = decay.pairs(key.roll(-1, dims=-2), write).roll(1, dims=-2)
                known = decay.before(key)
            wanted = piece["value"] - known @ weights.mT
            update = _solve(gram, wanted)
            read = decay.from_start(query) @ weights.mT
            outputs.append(read + decay.pairs(query, write) @ update)
            weights = decay.through(weights) + update.mT @ decay.to_end(write)
        position = state.position + inputs.key.shape[1]
        output = torch.cat(outputs, dim=-2).transpose(1, 2)
        return output, state._replace(position=position, weights={name: weights})


def _solve(gram: Tensor, wanted: Tensor) -> Tensor:
    """U of (I + gram) U = wanted; of gram only what lies below the diagonal is read."""
    found: Any = cast(Any, torch.linalg.solve_triangular)(
        gram, wanted, upper=False, unitriangular=True
    )
    return found


def _tokens(memory: "Memory", inputs: Prepared) -> dict[str, Tensor]:
    step = memory.stepping
    assert step is not None
    gates = inputs.gates | inputs.constants
    sensitivity = memory.architecture.sensitivity({}, inputs.key, gates)
    write = inputs.key
    for axis, size in step_sizes(step, gates, sensitivity, inputs.key.shape[-1]).items():
        write = write * (size if axis == "key" else size[..., None])
    found = {"query": inputs.query, "key": inputs.key, "value": inputs.value, "write": write}
    found |= {n: gate for n, gate in inputs.gates.items() if n.startswith("decay")}
    return {name: heads_first(tensor) for name, tensor in found.items()}
