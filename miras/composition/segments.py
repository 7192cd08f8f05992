"""The states at the ends of past segments, kept and read: memory caching."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Sizes
from miras.composition.either import keyed
from miras.composition.tree import stacked, tree
from miras.gate import Signal
from miras.memory import Memory
from miras.part import IncompatibleParts

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Segments(Composition):
    """y_t = sum_i g_i,t M_i(q_t): the host's states at the ends of past segments and its own now.

    - `residual`: every g is 1.
    - `gated`: g is the softmax over i of s (q_t . mean key of segment i) / sqrt(key_dim), the
      running segment among them with the mean of its keys so far; s is learned, one per head.
    - `top_k`: the same over the running segment and the `top_k` past ones with the largest logits.
    - `soup`: one read of the memory whose weights are the sum of g_i times those of M_i.

    With `restart`, each segment starts from the initial weights, else from the last state. A cached
    state keeps what is read, not the running sums of its optimizer. `soup` goes token by token.

    Source: memory caching, with its gated residual, soup and sparse reads.
    Differs: query and keys stand for the projections of the input that its gates compare.
    """

    compose: Literal["segments"] = "segments"
    of: "AnyCell" = Field(description="the host memory")
    segment: int = Field(default=64, ge=1, description="tokens of a segment")
    read: Literal["residual", "gated", "top_k", "soup"] = Field(
        default="gated", description="how cached states are read"
    )
    top_k: int = Field(default=2, ge=1, description="past segments that `read: top_k` looks at")
    restart: bool = Field(default=True, description="start each segment from the initial weights")

    @model_validator(mode="after")
    def _host_can_be_cached(self) -> "Segments":
        host = self.of
        fits = isinstance(host, Memory) and not host.architecture.stores_pairs
        if not fits or not keyed(host):
            raise IncompatibleParts(
                "compose segments caches the weights of one memory and compares keys: use a host"
                " such as titans-lmm or gated-deltanet"
            )
        if self.read == "soup" and isinstance(host, Memory) and not host.retention.identity_link:
            raise IncompatibleParts(
                "read: soup averages weights, which the retention of this host shows through a"
                " link: use read: gated"
            )
        return self

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        if self.read == "residual":
            return []
        bound, meaning = torch.inf, "sharpness of the choice among segments"
        return [Signal("sharpness", (heads,), -bound, bound, False, meaning, mean=1.0)]

    def begin(self, cells: tuple[object, ...], sizes: Sizes, like: Tensor) -> CompositionState:
        shape = (sizes.batch, sizes.heads)
        own: dict[str, Tensor] = {}
        if self.read != "residual":
            own = {"sum": like.new_zeros(*shape, sizes.key_dim)}
            own["means"] = like.new_zeros(*shape, 0, sizes.key_dim)
        return CompositionState(0, cells, own, cells)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        time, at, outputs = inputs.key.shape[1], 0, list[Tensor]()
        while at < time:
            inside = state.position % self.segment
            if inside == 0 and state.position:
                state = self._cached(state)
            end = min(time, at + (1 if self.read == "soup" else self.segment - inside))
            output, state = self._piece(engine, inputs.span(at, end), state)
            outputs.append(output)
            at = end
        return torch.cat(outputs, dim=1), state

    def _cached(self, state: CompositionState) -> CompositionState:
        """At the start of a segment: the last state joins the cache."""
        host = self.of
        assert isinstance(host, Memory)
        current, *past = state.cells
        kept = {n: each for n, each in current.buffers.items() if n not in host.optimizer.buffers}
        past.append(current._replace(buffers=kept, anchor={}))
        own = state.own
        if own:
            mean = own["sum"][:, :, None] / self.segment
            own = {
                "sum": torch.zeros_like(own["sum"]),
                "means": torch.cat((own["means"], mean), dim=2),
            }
        current = state.first[0] if self.restart else current
        return state._replace(cells=(current, *past), own=own)

    def _piece(
        self, engine: Engine, piece: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        """Tokens of one segment."""
        inside, time = state.position % self.segment, piece.key.shape[1]
        current, *past = state.cells
        output, current = engine.run(self.of, *piece[:3], piece.of(0), current)
        own, logits = state.own, None
        if own:
            sums = own["sum"][:, None] + piece.key.cumsum(1)  # [batch, time, heads, key_dim]
            count = torch.arange(inside + 1, inside + time + 1).to(sums)
            logits = self._logits(piece, own["means"], sums / count[:, None, None])
            own = own | {"sum": sums[:, -1]}
        after = CompositionState(state.position + time, (current, *past), own, state.first)
        if past:
            output = self._mixed(engine, piece, after, output, logits)
        return output, after

    def _logits(self, piece: Inputs, means: Tensor, running: Tensor) -> Tensor:
        """`[batch, time, heads, segments]`, the running segment last."""
        query = piece.query * piece.gates["sharpness"][:, None] * piece.query.shape[-1] ** -0.5
        past = torch.einsum("bthk,bhnk->bthn", query, means)
        if self.read == "top_k" and past.shape[-1] > self.top_k:
            kept = past.topk(self.top_k, dim=-1).indices
            mask = torch.ones_like(past, dtype=torch.bool).scatter(-1, kept, False)
            past = past.masked_fill(mask, -torch.inf)
        return torch.cat((past, (query * running).sum(-1, keepdim=True)), dim=-1)

    def _mixed(
        self,
        engine: Engine,
        piece: Inputs,
        state: CompositionState,
        output: Tensor,
        logits: Tensor | None,
    ) -> Tensor:
        current, *past = state.cells
        gates, size, count = piece.of(0), output.shape[-1], len(past)
        weight = None if logits is None else logits.softmax(-1)
        if self.read == "soup" and weight is not None:
            many = [current._replace(buffers=past[0].buffers, anchor={}), *past]
            order = weight[:, 0].roll(1, dims=-1)  # [batch, heads, states]: the running one first

            def cooked(*leaves: Tensor) -> Tensor:
                shape = (*order.shape[:2], *[1] * (leaves[0].dim() - 2))
                shares = [order[..., place].reshape(shape) for place in range(len(leaves))]
                pairs = zip(shares, leaves, strict=True)
                return torch.stack([share * leaf for share, leaf in pairs]).sum(0)

            return engine.ask(self.of, piece.query, gates, tree(cooked, *many), size)
        many = piece.over(lambda tensor: torch.cat([tensor] * count))
        reads = engine.ask(self.of, many.query, many.of(0), stacked(past), size).chunk(count)
        reads = torch.stack((*reads, output), dim=-2)  # [batch, time, heads, states, value_dim]
        return reads.sum(-2) if weight is None else (weight[..., None] * reads).sum(-2)

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        current, gates, size = state.cells[0], inputs.of(0), inputs.value.shape[-1]
        output = engine.ask(self.of, inputs.query, gates, current, size)
        if len(state.cells) == 1:
            return output
        rows: list[Tensor] = []
        for t in range(inputs.query.shape[1]):
            now, logits = inputs.span(t, t + 1), None
            if state.own:
                count = (state.position - 1) % self.segment + 1
                running = state.own["sum"][:, None] / count
                logits = self._logits(now, state.own["means"], running)
            rows.append(self._mixed(engine, now, state, output[:, t : t + 1], logits))
        return torch.cat(rows, dim=1)

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        start = "M_0" if self.restart else "the state before"
        update = (f"every {self.segment} tokens: M_i joins the cache, M goes on from {start}",)
        over = f"the {self.top_k} nearest segments" if self.read == "top_k" else "segments"
        gate = f"γ_{{i,t}} = softmax_i(s q_t · k̄_i / √key_dim) over {over} and the running one"
        reads = {
            "residual": ("y_t = M_t(q_t) + Σ_i M_i(q_t)",),
            "soup": ("y_t = (Σ_i γ_{i,t} M_i)(q_t)", gate),
        }
        mixed = ("y_t = Σ_i γ_{i,t} M_i(q_t)", gate)
        where = () if self.read == "residual" else ("k̄_i: mean key of segment i",)
        return update, reads.get(self.read, mixed), where
