"""Attention inside segments that begins with what a memory answers."""

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from miras.composition import CompositionState, Layered, Shell
from miras.composition.either import wiring
from miras.features.rope import Rope
from miras.memory import Memory
from miras.part import IncompatibleParts, SpecError

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Context(Layered):
    """Read the memory, prepend, attend, write, gate:

        h_t = M_s(q_t)                      M_s: the memory at the start of the segment
        y_t = attention of x_t over [p_1 .. p_n, h_i and x_i for i <= t of the segment]
        M_t = M_{t-1} written with key and value of y_t
        o_t = norm(y_t) * sigmoid(norm(M_t(y_t)))

    p are `persistent` learned tokens. q_t is linear in x_t. Keys and queries of the attention are
    rotated by their place in the segment, those of p are not.

    Source: memory as a context, Titans (arXiv 2501.00663), section 4.1, equations 21 to 25.
    Differs: a token sees h up to its own, and the memory written up to its own y, so that no output
    depends on later tokens; the paper takes all h of the segment and the memory after it.
    """

    compose: Literal["context"] = "context"
    of: "AnyCell" = Field(description="the memory")
    segment: int = Field(default=32, ge=1, description="tokens that attend to each other")
    persistent: int = Field(
        default=4, ge=0, le=1024, description="learned tokens before all others"
    )

    @model_validator(mode="after")
    def _memory_can_be_asked(self) -> "Context":
        if not isinstance(self.of, Memory) and self.of.layered:
            raise IncompatibleParts(
                "compose context asks its memory without writing, which a composition of layers"
                " cannot do: use one memory, such as titans-lmm"
            )
        if wiring(self.of).output_gate != "none":
            raise IncompatibleParts(
                "compose context gates with the memory itself: write output_gate: none in the"
                " wiring of the memory"
            )
        return self

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    def build(self, shell: Shell) -> nn.Module:
        return _Context(self, shell)

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        update = (
            "h_t = M_s(q_t)",
            "z_t = attention of x_t over [p, h_i and x_i for i ≤ t of the segment]",
            "M_0 writes key and value of z_t",
        )
        where = (
            f"M_s: the memory at the start of the segment of {self.segment} tokens",
            f"p: {self.persistent} learned tokens",
        )
        return update, ("y_t = norm(z_t) ⊙ σ(norm(M_0(z_t)))",), where


class _Context(nn.Module):
    def __init__(self, spec: Context, shell: Shell) -> None:
        super().__init__()
        dim = shell.dim
        if dim % shell.heads:
            raise SpecError(f"dim {dim} is not a multiple of heads {shell.heads}: change one")
        self.segment, self.heads = spec.segment, shell.heads
        self.memory = shell.build(spec.of, 0)
        self.persistent = nn.Parameter(torch.randn(spec.persistent, dim) * dim**-0.5)
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.mix = nn.Linear(dim, dim, bias=False)
        self.scales = nn.Parameter(torch.ones(2, dim))
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.out.weight, std=(2 * shell.layers * dim) ** -0.5)

    def start(self, x: Tensor) -> CompositionState:
        """The state before the first token of a batch like `x`."""
        cell = cast(Any, self.memory).start(x)
        none = x.new_zeros(x.shape[0], self.heads, 0, x.shape[2] // self.heads)
        own = {"keys": none, "values": none}
        return CompositionState(0, (cell, cell), own)

    def forward(self, x: Tensor, state: CompositionState) -> tuple[Tensor, CompositionState]:
        """Outputs for a piece of a sequence and the state for the next piece."""
        at, outputs = 0, list[Tensor]()
        while at < x.shape[1]:
            inside = state.position % self.segment
            if inside == 0:
                now = state.cells[0]
                own = {name: _emptied(leaf) for name, leaf in state.own.items()}
                state = state._replace(cells=(now, now), own=own)
            end = min(x.shape[1], at + self.segment - inside)
            output, state = self._piece(x[:, at:end], state)
            outputs.append(output)
            at = end
        return torch.cat(outputs, dim=1), state

    def _piece(self, x: Tensor, state: CompositionState) -> tuple[Tensor, CompositionState]:
        """Tokens of one segment."""
        now, first = state.cells
        told = cast(Any, self.memory).ask(x, first)
        attended, own = self._attend(x, told, state)
        answer, now = self.memory(attended, now)
        normed = (F.rms_norm(each, each.shape[-1:], eps=1e-5) for each in (attended, answer))
        left, right = (each * scale for each, scale in zip(normed, self.scales, strict=True))
        position = state.position + x.shape[1]
        return self.out(left * right.sigmoid()), CompositionState(position, (now, first), own)

    def _attend(
        self, x: Tensor, told: Tensor, state: CompositionState
    ) -> tuple[Tensor, dict[str, Tensor]]:
        inside, time = state.position % self.segment, x.shape[1]
        places = torch.arange(inside, inside + time, device=x.device)
        query, key, value = self._split(x)
        _, told_key, told_value = self._split(told)
        query, key = Rope().map(query, key, {}, places)
        told_key, _ = Rope().map(told_key, told_key, {}, places)
        _, fixed_key, fixed_value = self._split(self.persistent.expand(x.shape[0], -1, -1))

        def grown(name: str, told: Tensor, new: Tensor) -> Tensor:
            both = torch.stack((told, new), dim=2).flatten(1, 2)  # h_t and x_t side by side
            return torch.cat((state.own[name], both.transpose(1, 2)), dim=2)

        keys, values = grown("keys", told_key, key), grown("values", told_value, value)
        rows = torch.arange(keys.shape[2], device=x.device) // 2
        allowed = rows[None] <= places[:, None]
        allowed = F.pad(allowed, (self.persistent.shape[0], 0), value=True)
        found = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            torch.cat((fixed_key.transpose(1, 2), keys), dim=2),
            torch.cat((fixed_value.transpose(1, 2), values), dim=2),
            attn_mask=allowed,
        )
        own = {"keys": keys, "values": values}
        return self.mix(found.transpose(1, 2).flatten(2)), own

    def _split(self, x: Tensor) -> list[Tensor]:
        """Query, key and value `[batch, time, heads, size]`."""
        found = self.project(x).reshape(*x.shape[:2], 3, self.heads, -1)
        return list(found.unbind(2))


def _emptied(leaf: Tensor) -> Tensor:
    return leaf[:, :, :0]
