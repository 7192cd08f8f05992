"""A trainable layer around a memory: projections, short convolution, heads, gates, norm."""

from collections.abc import MutableMapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from miras.gate import Site
from miras.memory import Memory
from miras.operator import run
from miras.state import State, initial_weights, start


class LayerState(NamedTuple):
    """What a layer needs for the next token."""

    memory: State
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
    if the memory's wiring says so, and projected back.
    """

    def __init__(
        self,
        memory: Memory,
        dim: int,
        heads: int,
        conv: int = 4,
        layer: int = 0,
        layers: int = 1,
        plan: str = "auto",
    ) -> None:
        super().__init__()
        wiring = memory.wiring
        self.memory, self.plan = memory, plan
        self.heads = dim if wiring.heads == "channels" else wiring.heads or heads
        keyed = memory.architecture.keyed
        self.key_dim = wiring.key_dim or (max(1, dim // self.heads) if keyed else 1)
        self.value_dim = wiring.value_dim or max(1, dim // self.heads)
        self.key_heads = 0 if not keyed else 1 if wiring.shared_keys else self.heads
        self.widths = (*[self.key_heads * self.key_dim] * 2, self.heads * self.value_dim)
        self.project = nn.Linear(dim, sum(self.widths), bias=False)
        self.conv = _ShortConv(sum(self.widths), conv) if conv > 1 else None
        self.gates = nn.ModuleDict(self._gates(dim, layer, layers))
        self.constants = nn.ParameterDict(
            {
                signal.name: nn.Parameter(torch.randn(signal.shape) * signal.std + signal.mean)
                for signal in memory.gates(self.heads, self.key_dim, self.value_dim).values()
                if not signal.per_token
            }
        )
        seed = int(torch.randint(2**31, ()).item())
        first = initial_weights(memory, self.heads, self.key_dim, self.value_dim, seed)
        learned = not memory.architecture.linear and not memory.architecture.stores_pairs
        self.initial = nn.ParameterDict(
            {name: nn.Parameter(leaf) for name, leaf in first.items()} if learned else {}
        )
        self.skip = nn.Parameter(torch.ones(self.heads, 1)) if wiring.skip else None
        self.norm = nn.Parameter(torch.ones(self.heads, self.value_dim)) if wiring.norm else None
        gated = wiring.output_gate != "none"
        self.output_gate = nn.Linear(dim, self.widths[2], bias=False) if gated else None
        self.out = nn.Linear(self.widths[2], dim, bias=False)
        nn.init.normal_(self.out.weight, std=(2 * layers * self.widths[2]) ** -0.5)

    def _gates(self, dim: int, layer: int, layers: int) -> dict[str, nn.Module]:
        mapped = self.memory.architecture.features.width(self.key_dim)
        widths = {"": 0, "key": mapped, "value": self.value_dim}
        step = self.memory.stepping
        chunk = step.chunk if step else 1
        return {
            use.name: use.gate.build(
                Site(
                    name=use.name,
                    dim=dim,
                    heads=self.heads,
                    width=widths[use.width],
                    low=use.low,
                    high=use.high,
                    layer=layer,
                    layers=layers,
                    chunk=chunk,
                )
            )
            for use in self.memory.uses
            if use.gate.own
        }

    def start(self, x: Tensor) -> LayerState:
        """The state before the first token of a batch like `x`."""
        weights = dict(self.initial.items()) or None
        sizes = (x.shape[0], self.heads, self.key_dim, self.value_dim)
        state = start(self.memory, *sizes, weights, x.dtype, x.device)
        history = 0 if self.conv is None else self.conv.width - 1
        return LayerState(state, x.new_zeros(x.shape[0], history, sum(self.widths)))

    def forward(
        self, x: Float[Tensor, "batch time dim"], state: LayerState | None = None
    ) -> tuple[Float[Tensor, "batch time dim"], LayerState]:
        """Outputs for a piece of a sequence and the state for the next piece."""
        state = state or self.start(x)
        mixed, conv = self.project(x), state.conv
        if self.conv is not None:
            mixed, conv = self.conv(mixed, conv)
        query, key, value = self._heads(mixed)
        gates: dict[str, Tensor] = dict(self.constants.items())
        places = torch.arange(x.shape[1], device=x.device) + state.memory.position
        shared: MutableMapping[str, Tensor] = {"position": places}
        for name, gate in self.gates.items():
            gates[name] = gate(x, shared)
        read, memory = run(self.memory, query, key, value, gates, state.memory, self.plan)
        if self.skip is not None:
            read = read + self.skip * value
        if self.norm is not None:
            read = F.rms_norm(read, (self.value_dim,), eps=1e-5) * self.norm
        read = rearrange(read, "b t h v -> b t (h v)")
        if self.output_gate is not None:
            gate = self.output_gate(x)
            silu = self.memory.wiring.output_gate == "silu"
            read = read * (F.silu(gate) if silu else gate.sigmoid())
        return self.out(read), LayerState(memory, conv)

    def _heads(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = torch.split(mixed, list(self.widths), dim=-1)
        if self.memory.wiring.value == "silu":
            value = F.silu(value)
        value = rearrange(value, "b t (h v) -> b t h v", h=self.heads)
        if not self.key_heads:
            none = value.new_zeros(*value.shape[:3], 1)
            return none, none, value
        query, key = (
            rearrange(part, "b t (h k) -> b t h k", h=self.key_heads).expand(-1, -1, self.heads, -1)
            for part in (query, key)
        )
        return query, key, value


class _ShortConv(nn.Module):
    """Causal depthwise convolution that carries its last inputs along."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(channels, 1, width))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def forward(self, x: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """x `[batch, time, channels]`, history `[batch, width - 1, channels]`."""
        seen = torch.cat((history, x), dim=1)
        out = F.conv1d(seen.transpose(1, 2), self.weight, groups=self.weight.shape[0])
        return out.transpose(1, 2), seen[:, seen.shape[1] - self.width + 1 :]
