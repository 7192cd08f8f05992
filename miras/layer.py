"""A trainable layer around a memory: projections, short convolution, heads, gates, norm."""

from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from miras.composition import AnyCell, AnyState, Composition, Shell
from miras.composition.either import initial_weights, keyed, learned, places, start, wiring
from miras.fused import convolve, rms_norm, silu_gate
from miras.gate import Site
from miras.operator import ask, run

Places = tuple[Tensor, Tensor]
"""Positions of a batch: their sequences and their tokens, both `[positions]`."""


class LayerState(NamedTuple):
    """What a layer needs for the next token."""

    memory: AnyState
    conv: Tensor  # [batch, conv - 1, channels]: the last inputs of the short convolution

    def floats(self) -> int:
        """Numbers kept per sequence, the convolution's included."""
        return self.memory.floats() + self.conv[0].numel()

    def detach(self) -> "LayerState":
        """The same numbers, cut from the graph of gradients."""
        return LayerState(self.memory.detach(), self.conv.detach())


class Layer(nn.Module):
    """`layer(x, state) -> (y, state)` with x and y `[batch, time, dim]`.

    Query, key and value are linear in x, then pass a causal depthwise convolution over `conv`
    tokens (0 or 1: none). The memory runs once per head. Its reads are normalised per head, gated
    if the memory's wiring says so, and projected back. A composition whose cells have projections
    of their own builds the layer itself.
    """

    def __init__(
        self,
        memory: AnyCell,
        dim: int,
        heads: int,
        conv: int = 4,
        layer: int = 0,
        layers: int = 1,
        plan: str = "auto",
    ) -> None:
        super().__init__()
        self.memory, self.plan, self.width = memory, plan, dim
        self.built: nn.Module | None = None
        if isinstance(memory, Composition) and memory.layered:
            build = partial(_inner, dim=dim, heads=heads, layer=layer, layers=layers, plan=plan)
            self.built = memory.build(Shell(dim, heads, conv, layer, layers, plan, build))
            self.width = int(getattr(self.built, "width", dim))
            return
        self.wiring = wiring(memory)
        self.heads = dim if self.wiring.heads == "channels" else self.wiring.heads or heads
        self.key_dim = self.wiring.key_dim or (max(1, dim // self.heads) if keyed(memory) else 1)
        self.value_dim = self.wiring.value_dim or max(1, dim // self.heads)
        shared = self.wiring.shared_keys
        self.key_heads = 0 if not keyed(memory) else 1 if shared else self.heads
        self.widths = (*[self.key_heads * self.key_dim] * 2, self.heads * self.value_dim)
        self.project = nn.Linear(dim, sum(self.widths), bias=self.wiring.bias)
        self.conv = _ShortConv(sum(self.widths), conv) if conv > 1 else None
        self.groups: dict[str, str] = {}
        self.gates = nn.ModuleDict(self._gates(dim, layer, layers))
        self.constants = nn.ParameterDict(
            {
                _stored(signal.name): nn.Parameter(
                    torch.randn(signal.shape) * signal.std + signal.mean
                )
                for signal in memory.gates(self.heads, self.key_dim, self.value_dim).values()
                if not signal.per_token
            }
        )
        seed = int(torch.randint(2**31, (), device="cpu").item())
        first = initial_weights(memory, self.heads, self.key_dim, self.value_dim, seed)
        self.initial = nn.ParameterDict(
            {
                _stored(name): nn.Parameter(leaf)
                for name, leaf in first.items()
                if learned(memory, name)
            }
        )
        skip, norm = self.wiring.skip, self.wiring.norm
        self.skip = nn.Parameter(torch.ones(self.heads, 1)) if skip else None
        self.norm = nn.Parameter(torch.ones(self.heads, self.value_dim)) if norm else None
        gated = self.wiring.output_gate != "none"
        self.output_gate = nn.Linear(dim, self.widths[2], bias=False) if gated else None
        self.out = nn.Linear(self.widths[2], dim, bias=self.wiring.bias)
        nn.init.normal_(self.out.weight, std=(2 * layers * self.widths[2]) ** -0.5)

    def _gates(self, dim: int, layer: int, layers: int) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {}
        for place in places(self.memory, self.key_dim, self.value_dim):
            site = Site(
                name=place.name.rpartition(".")[2],
                dim=dim,
                heads=self.heads,
                width=place.width,
                low=place.low,
                high=place.high,
                layer=layer,
                layers=layers,
                chunk=place.chunk,
            )
            found[_stored(place.name)] = place.gate.build(site)
            self.groups[place.name] = place.group
        return found

    def start(self, x: Tensor) -> LayerState:
        """The state before the first token of a batch like `x`."""
        if self.built is not None:
            return LayerState(cast(Any, self.built).start(x), x.new_zeros(x.shape[0], 0))
        weights = {_named(name): leaf for name, leaf in self.initial.items()} or None
        sizes = (x.shape[0], self.heads, self.key_dim, self.value_dim)
        state = start(self.memory, *sizes, weights, x.dtype, x.device)
        history = 0 if self.conv is None else self.conv.width - 1
        return LayerState(state, x.new_zeros(x.shape[0], history, sum(self.widths)))

    def forward(
        self,
        x: Float[Tensor, "batch time dim"],
        state: LayerState | None = None,
        at: Places | None = None,
    ) -> tuple[Float[Tensor, "*positions width"], LayerState]:
        """Outputs for a piece of a sequence and the state for the next piece.

        Outputs `[batch, time, width]`, or `[positions, width]` if only those `at` some are wanted.
        """
        x = x.float() if _narrow(x) else x
        state = state or self.start(x)
        if self.built is not None:
            y, inner = self.built(x, state.memory)
            return y if at is None else y[at], LayerState(inner, state.conv)
        mixed, conv = self.project(x).to(x.dtype), state.conv
        if self.conv is not None:
            mixed, conv = self.conv(mixed, conv)
        query, key, value = self._heads(mixed)
        gates = self._made(x, state.memory.position)
        with _exact(x):
            read, memory = run(self.memory, query, key, value, gates, state.memory, self.plan)
        mix = gates["step"] if self.wiring.mix else None
        if at is not None:  # what follows looks at one position at a time
            x, read = x[at], read[at]
            value = value[at] if mix is not None or self.skip is not None else value
            mix = None if mix is None else mix[at]
        if mix is not None:
            read = torch.lerp(value, read, mix[..., None])
        if self.skip is not None:
            read = read + self.skip * value
        if self.norm is not None:
            read = rms_norm(read, self.norm, 1e-5)
        read = read.flatten(-2)
        if self.output_gate is not None:
            gate = self.output_gate(x).to(read.dtype)
            silu = self.wiring.output_gate == "silu"
            read = silu_gate(gate, read) if silu else read * gate.sigmoid()
        return self.out(read), LayerState(memory, conv)

    def ask(self, x: Float[Tensor, "batch time dim"], state: LayerState) -> Tensor:
        """What the memory answers to each token as it stands; nothing is written.

        For layers without convolution and output gate, around memories that are operators.
        """
        x = x.float() if _narrow(x) else x
        query, _, _ = self._heads(self.project(x).to(x.dtype))
        gates = self._made(x, state.memory.position)
        with _exact(x):
            read = ask(self.memory, query, gates, state.memory, self.value_dim)
        if self.norm is not None:
            read = rms_norm(read, self.norm, 1e-5)
        return self.out(rearrange(read, "b t h v -> b t (h v)"))

    def _made(self, x: Tensor, position: int) -> dict[str, Tensor]:
        """Gates and constants; `position` tokens were read before."""
        found: dict[str, Tensor] = {_named(name): leaf for name, leaf in self.constants.items()}
        index = torch.arange(x.shape[1], device=x.device) + position
        shared: dict[str, MutableMapping[str, Tensor]] = {}
        for name, group in self.groups.items():
            beside = shared.setdefault(group, {"position": index})
            found[name] = self.gates[_stored(name)](x, beside).to(x.dtype)
        return found

    def _heads(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = torch.split(mixed, list(self.widths), dim=-1)
        if self.wiring.value == "silu":
            value = F.silu(value)
        value = rearrange(value, "b t (h v) -> b t h v", h=self.heads)
        if self.wiring.value == "zscore":
            value = F.layer_norm(value, (self.value_dim,), eps=1e-6)
        if not self.key_heads:
            none = value.new_zeros(*value.shape[:3], 1)
            return none, none, value
        query, key = (
            rearrange(part, "b t (h k) -> b t h k", h=self.key_heads).expand(-1, -1, self.heads, -1)
            for part in (query, key)
        )
        return query, key, value


def _stored(name: str) -> str:
    """The name of a tensor as modules and parameters may bear it, without dots."""
    return name.replace(".", "/")


def _named(stored: str) -> str:
    return stored.replace("/", ".")


def _narrow(x: Tensor) -> bool:
    """Whether autocast is on."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def _exact(x: Tensor) -> AbstractContextManager[Any]:
    """Inside, autocast is off: a recurrence adds up many small numbers, too many for bfloat16."""
    return torch.autocast(x.device.type, enabled=False) if _narrow(x) else nullcontext()


def _inner(memory: Any, conv: int, **shell: Any) -> nn.Module:
    """A layer around one cell of a composition."""
    return Layer(memory, conv=conv, **shell)


class _ShortConv(nn.Module):
    """Causal depthwise convolution that carries its last inputs along."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(channels, 1, width))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def forward(self, x: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """x `[batch, time, channels]`, history `[batch, width - 1, channels]`."""
        kept = self.width - 1
        recent = x if x.shape[1] >= kept else torch.cat((history, x), dim=1)
        return convolve(x, history, self.weight), recent[:, recent.shape[1] - kept :]
