"""A memory that starts anew after every so many tokens."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Sizes
from miras.composition.either import keyed
from miras.composition.tree import stacked, unstacked

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Resets(Composition):
    """M_t = M_0 whenever t is a multiple of `segment`: M_0 are the learned initial weights.

    Segments do not depend on each other, so whole ones run side by side. With `project`, the query
    is first put onto the keys of its segment: q_t <- sum_i k_i (k_i . q_t) / |k_i|^2, over i from
    the start of the segment to t.

    Source: TNT (arXiv 2511.07343), local memories, equation of the Q-K projection.
    Differs: the sum runs from the start of the segment; a rotation by position starts anew there.
    """

    compose: Literal["resets"] = "resets"
    of: "AnyCell" = Field(description="the memory")
    segment: int = Field(default=64, ge=1, description="tokens between resets")
    project: bool = Field(default=False, description="put queries onto the keys of the segment")

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    def begin(self, cells: tuple[object, ...], sizes: Sizes, like: Tensor) -> CompositionState:
        square = (sizes.batch, sizes.heads, sizes.key_dim, sizes.key_dim)
        own = {"keys": like.new_zeros(square)} if self.project and keyed(self.of) else {}
        return CompositionState(0, cells, own, cells)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        time, at, outputs = inputs.key.shape[1], 0, list[Tensor]()
        while at < time:
            inside = state.position % self.segment
            whole = (time - at) // self.segment if inside == 0 else 0
            end = at + max(1, whole) * self.segment - inside
            piece = inputs.span(at, min(end, time))
            output, state = self._segments(engine, piece, state, max(1, whole))
            outputs.append(output)
            at = end
        return torch.cat(outputs, dim=1), state

    def _segments(
        self, engine: Engine, piece: Inputs, state: CompositionState, count: int
    ) -> tuple[Tensor, CompositionState]:
        """Part of a segment, or several whole ones side by side."""
        time, batch = piece.key.shape[1], piece.key.shape[0]
        cell, own = state.cells[0], state.own
        if state.position % self.segment == 0:
            cell = state.first[0]
            own = {name: torch.zeros_like(leaf) for name, leaf in own.items()}
        if count > 1:
            piece = piece.over(lambda tensor: _side_by_side(tensor, count))
            cell = stacked([cell] * count)
            own = {name: leaf.repeat(count, *[1] * (leaf.dim() - 1)) for name, leaf in own.items()}
        if own:
            query, own["keys"] = projected(piece.query, piece.key, own["keys"])
            piece = piece._replace(query=query)
        output, cell = engine.run(self.of, *piece[:3], piece.of(0), cell)
        if count > 1:
            output = torch.cat(output.chunk(count), dim=1)
            cell = unstacked(cell, count)[-1]
            own = {name: leaf[-batch:] for name, leaf in own.items()}
        return output, CompositionState(state.position + time, (cell,), own, state.first)

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        query = inputs.query
        if state.own:
            query = torch.einsum("bhkc,bthc->bthk", state.own["keys"], query)
        return engine.ask(self.of, query, inputs.of(0), state.cells[0], inputs.value.shape[-1])

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        update = [f"M_t = M_0 before token t if {self.segment} divides t − 1"]
        query = "q_t"
        if self.project:
            update.append("Π_t = Σ_i k_i k_iᵀ / ‖k_i‖² over the tokens of the segment up to t")
            query = "Π_t q_t"
        return tuple(update), (f"y_t = M_t({query})",), ()


def _side_by_side(tensor: Tensor, count: int) -> Tensor:
    """`[batch, count * time, ...]` as `[count * batch, time, ...]`."""
    return torch.cat(tensor.chunk(count, dim=1))


def _blocks(tensor: Tensor) -> list[Tensor]:
    """Pieces of at most 64 tokens."""
    return [tensor[:, at : at + 64] for at in range(0, tensor.shape[1], 64)]


def projected(query: Tensor, key: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Queries on the keys up to their token, and sum of k k^T / |k|^2 `[batch, heads, k, k]`."""
    floor = torch.finfo(key.dtype).tiny
    unit = key / key.square().sum(-1, keepdim=True).clamp_min(floor).sqrt()
    outputs: list[Tensor] = []
    for now, beside in zip(_blocks(query), _blocks(unit), strict=True):
        seen = torch.einsum("bthk,bshk->bhts", now, beside).tril()
        own = torch.einsum("bhts,bshk->bthk", seen, beside)
        outputs.append(own + torch.einsum("bhkc,bthc->bthk", before, now))
        before = before + torch.einsum("bshk,bshc->bhkc", beside, beside)
    return torch.cat(outputs, dim=1), before
