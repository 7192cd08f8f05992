"""Chunked decayed linear attention."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.span import chunks, heads_first, sides, spans
from miras.surprise import step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Linear(Plan):
    """Writes that do not look at the memory: reads are masked products of queries and keys.

    Inside a chunk y = (D * Q K^T) U + P * Q W^T with D the decay between two tokens and P that
    since the chunk's start; after it W <- W decayed + U^T (K decayed to the end).

    Source: GLA (arXiv 2312.06635), section 4; Mamba-2 (arXiv 2405.21060), section 6.
    """

    kind: Literal["linear"] = "linear"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(chunk (key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        architecture, step = memory.architecture, memory.stepping
        return (
            memory.plain
            and step is not None
            and step.plain
            and (step.every, step.chunk) == (1, 1)
            and architecture.linear
            and architecture.keyed
            and not memory.bias.residual
            and memory.retention.identity_link
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        # Nanoseconds of training on one core, from benchmarks/plans.py: so where `scan` wins.
        channels = {"key": key_dim, "value": value_dim, "both": key_dim + value_dim}
        halving = 55.0 * channels.get(memory.retention.decays or "", 0)
        return 450.0 + 20.0 * (key_dim + value_dim) + halving

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        ((name, weights),) = state.weights.items()
        outputs: list[Tensor] = []
        for piece in chunks(_tokens(memory, inputs), self.chunk):
            query, key, write = piece["query"], piece["key"], piece["write"]
            along_value, along_key = sides(spans(piece), ("value", "key"))
            inside = along_value.mix(along_key.pairs(query, key), write)
            outputs.append(
                inside + along_value.from_start(along_key.from_start(query) @ weights.mT)
            )
            kept = along_value.through(along_key.through(weights).mT).mT
            weights = kept + along_value.to_end(write).mT @ along_key.to_end(key)
        position = state.position + inputs.key.shape[1]
        output = torch.cat(outputs, dim=-2).transpose(1, 2)
        return output, state._replace(position=position, weights={name: weights})


def _tokens(memory: "Memory", inputs: Prepared) -> dict[str, Tensor]:
    step = memory.stepping
    assert step is not None
    gates = inputs.gates | inputs.constants
    key, write = inputs.key, -memory.bias.error(torch.zeros_like(inputs.value), inputs.value, gates)
    sensitivity = memory.architecture.sensitivity({}, key, gates)
    for axis, size in step_sizes(step, gates, sensitivity, key.shape[-1]).items():
        if axis == "key":
            key = key * size
        else:
            write = write * (size if axis == "value" else size[..., None])
    found = {"query": inputs.query, "key": key, "write": write}
    found |= {n: gate for n, gate in inputs.gates.items() if n.startswith("decay")}
    return {name: heads_first(tensor) for name, tensor in found.items()}
