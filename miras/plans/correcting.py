"""Matrix memories whose writes depend on what they predict, a chunk at a time."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.span import Span, chunks, heads_first, of_tokens, running, sides, spans
from miras.surprise import guard, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Reach(NamedTuple):
    """What a read of token i finds: faded weights of the chunk's start, and writes u_j b_j^T."""

    starts: list[tuple[Tensor, Span]]
    written: Span

    def start(self, x: Tensor) -> Tensor:
        """W x of the start's weights alone `[..., C, value_dim]`, x `[..., C, key_dim]`."""
        parts = [fade.from_start(x) @ weights.mT for weights, fade in self.starts]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class Correcting(Plan, ABC):
    """Prediction i is what the chunk's start predicts plus sum_j<i (k_i . b_j) shares_ij u_j.

    b = step k, u_j is minus the error of prediction j: C unknown rows per chunk. Once they are
    known, all reads of the chunk and the weights after it are products of matrices.
    """

    chunk: int = Field(default=32, ge=1, description="tokens per chunk")

    def fits(self, memory: "Memory") -> bool:
        architecture, step, decays = memory.architecture, memory.stepping, memory.retention.decays
        return (
            memory.plain
            and step is not None
            and (step.plain or (step.heavy_ball and decays != "key"))
            and (step.every, step.chunk) == (1, 1)
            and architecture.linear
            and architecture.keyed
            and memory.bias.residual
            and memory.retention.identity_link
            and decays not in ("value", "both")
        )

    @abstractmethod
    def solve(
        self, memory: "Memory", piece: dict[str, Tensor], gram: Tensor, known: Tensor
    ) -> Tensor:
        """The rows u `[..., C, value_dim]`; of `gram` only what is below the diagonal counts.

        `known` is what the chunk's start alone predicts, `gram [..., C, C]` what u_j (column) adds
        to prediction i (row).
        """

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        ((name, weights),) = state.weights.items()
        momentum = state.buffers["momentum"][name] if state.buffers else None
        step = memory.stepping
        assert step is not None
        early = step.gradient_at != "retained"
        outputs: list[Tensor] = []
        for piece in chunks(_tokens(memory, inputs), self.chunk):
            query, key, write = piece["query"], piece["key"], piece["write"]
            _, decay = sides(spans(piece), ("value", "key"))
            if momentum is None:
                now = Reach([(weights, decay)], decay)
                before = decay.delayed() if early else decay
                at_gradient = Reach([(weights, before)], before)
                carried = None
            else:
                carried = of_tokens(piece["momentum"])
                written, first = running(decay, carried)
                now = Reach([(weights, decay), (momentum, first)], written)
                own = None if early or "decay" not in piece else piece["decay"][..., None]
                fades = [decay.delayed().times(own), first.delayed(0.0).times(own)]
                starts = list(zip((weights, momentum), fades, strict=True))
                at_gradient = Reach(starts, written.delayed().times(own))
            gram = at_gradient.written.pairs(key, write)
            update = self.solve(memory, piece, gram, at_gradient.start(key))
            outputs.append(now.start(query) + now.written.pairs(query, write) @ update)
            kept = [fade.through(start) for start, fade in now.starts]
            weights = sum(kept[1:], kept[0]) + update.mT @ now.written.to_end(write)
            if carried is not None and momentum is not None:
                momentum = carried.through(momentum) + update.mT @ carried.to_end(write)
        position = state.position + inputs.key.shape[1]
        buffers = state.buffers if momentum is None else {"momentum": {name: momentum}}
        state = state._replace(position=position, weights={name: weights}, buffers=buffers)
        return torch.cat(outputs, dim=-2).transpose(1, 2), state


def _tokens(memory: "Memory", inputs: Prepared) -> dict[str, Tensor]:
    """All tensors of a token, heads first: `write` is b, `limit` that of a guarded bias."""
    step = memory.stepping
    assert step is not None
    gates = inputs.gates | inputs.constants
    sensitivity = memory.architecture.sensitivity({}, inputs.key, gates)
    steps = step_sizes(step, gates, sensitivity, inputs.key.shape[-1])
    write = inputs.key
    for axis, size in steps.items():
        if axis != "value":
            write = write * (size if axis == "key" else size[..., None])
    found = {"query": inputs.query, "key": inputs.key, "value": inputs.value, "write": write}
    limit = guard(memory, steps, sensitivity)
    found |= inputs.gates | ({} if limit is None else {"limit": limit})
    found |= {"step_value": steps["value"]} if "value" in steps else {}
    return {name: heads_first(tensor) for name, tensor in found.items()}
