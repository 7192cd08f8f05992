"""Least squares over the whole past, a chunk at a time."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.definition import Prepared
from miras.optimizer.least_squares import LeastSquares as Optimizer
from miras.plans import Plan
from miras.plans.chunked import Carried, Piece, chunked
from miras.plans.reach import Reach
from miras.plans.span import Span, laid_out, sides, spans
from miras.surprise import step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class LeastSquares(Plan):
    """Two decayed sums, G and H, and the systems of all tokens of a chunk solved side by side.

    Conjugate gradients only ask for H_t x, a masked product like a read: no token's H is written
    out. An exact solution needs it, one `[key, key]` per token of a chunk.

    Source: MesaNet (arXiv 2506.05233), section 3.
    """

    kind: Literal["least_squares"] = "least_squares"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(iterations key_dim (chunk + key_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        step, architecture = memory.stepping, memory.architecture
        return (
            isinstance(step, Optimizer)
            and step.literal
            and (step.every, step.chunk, step.step_axis) == (1, 1, "scalar")
            and architecture.linear
            and architecture.keyed
            and architecture.plain
            and memory.bias.plain
            and memory.retention.plain
            and memory.retention.identity_link
            and memory.retention.decays in (None, "scalar")
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e5

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        tokens, constants = laid_out(inputs)

        def step(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
            return _piece(memory, piece, *carried)

        ((name, weights),) = state.weights.items()
        carried = (weights, state.buffers["moment"]["key"])
        output, after = chunked(step, tokens, constants, carried, self.chunk)
        buffers = state.buffers | {"moment": {"key": after[1]}}
        position = state.position + inputs.key.shape[1]
        state = state._replace(position=position, weights={name: after[0]}, buffers=buffers)
        return output.transpose(1, 2), state


def _piece(
    memory: "Memory", piece: Piece, weights: Tensor, moment: Tensor
) -> tuple[Tensor, Carried]:
    """Outputs of a chunk, and both sums after it."""
    optimizer, key = memory.stepping, piece["key"]
    assert isinstance(optimizer, Optimizer)
    sensitivity = memory.architecture.sensitivity({}, key, piece)
    along = key * step_sizes(optimizer, piece, sensitivity, key.shape[-1])[""][..., None]
    fading = sides(spans(piece), ("value", "key"))
    squares, values = (Reach([(start, fading)], fading) for start in (moment, weights))

    def times(x: Tensor) -> Tensor:
        return squares.read(x, along, key)

    fade = fading.columns
    own = moment.diagonal(dim1=-2, dim2=-1)[..., None, :].expand_as(key)
    diagonal = fade.from_start(own) + _sums(fade, along * key)
    every: Tensor | None = None
    if optimizer.iterations is None:
        outer = along[..., :, None] * key[..., None, :]
        kept = fade.from_start(moment.flatten(-2)[..., None, :].expand(*outer.shape[:3], -1))
        every = (kept + _sums(fade, outer.flatten(-2))).view_as(outer)
    asked = optimizer.solved(piece["query"], every, times, diagonal, piece)
    output = values.read(asked, along, piece["value"])
    return output, (values.after(along, piece["value"]), squares.after(along, key))


def _sums(fade: Span, write: Tensor) -> Tensor:
    """What is left at every token of what was written up to it, `[..., C, size]`."""
    count = write.shape[-2]
    ones = torch.ones(count, count, dtype=write.dtype, device=write.device).tril()
    return (ones if fade.between is None else fade.between) @ write
