"""A fast and a slow memory: what the fast one has seen is told again to the slow one."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Own, Sizes
from miras.gate import AnyGate
from miras.gate.constant import Constant

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Consolidate(Composition):
    """Two memories; every `period` tokens the slow one rests and reads `steps` past pairs again.

    A reservoir of `buffer` places holds past pairs, each token with the same chance. A rest takes
    pairs from it at random and writes them to the slow memory, one after the other, by its own rule
    and with the gates of the last token. Told again is the value that came with the key (`stored`),
    or what the fast memory now answers to it (`recalled`). With `online`, the slow memory also
    writes every token. Tokens until the rest, and the last one of it, read the slow memory as it
    was before.

    Which pairs are kept and drawn depends on `seed` and the place in the sequence alone.

    Source: complementary learning systems (McClelland, McNaughton and O'Reilly, 1995); reservoir
    sampling as in experience replay (arXiv 1902.10486).
    """

    compose: Literal["consolidate"] = "consolidate"
    of: tuple["AnyCell", "AnyCell"] = Field(description="the fast memory, the slow memory")
    period: int = Field(default=16, ge=1, description="tokens between rests")
    steps: int = Field(default=16, ge=1, le=4096, description="pairs told again in a rest")
    buffer: int = Field(default=32, ge=1, le=65_536, description="places of the reservoir")
    target: Literal["stored", "recalled"] = Field(
        default="stored", description="the value of a pair, or what the fast memory answers now"
    )
    online: bool = Field(default=True, description="write every token to the slow memory as well")
    read: Literal["both", "slow"] = Field(default="both", description="memories that are read")
    mix: AnyGate = Field(default=Constant(value=0.5), description="weight of fast and slow read")
    seed: int = Field(default=0, ge=0, description="of what is kept and drawn")

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return self.of

    def own(self) -> list[Own]:
        if self.read == "slow":
            return []
        return [Own("mix", self.mix, 2, 0.0, torch.inf, "weight of the fast and the slow read")]

    def begin(self, cells: tuple[object, ...], sizes: Sizes, like: Tensor) -> CompositionState:
        shape = (sizes.batch, sizes.heads, 0)
        own = {
            "keys": like.new_zeros(*shape, sizes.key_dim),
            "values": like.new_zeros(*shape, sizes.value_dim),
        }
        return CompositionState(0, cells, own)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        time, at, outputs = inputs.key.shape[1], 0, list[Tensor]()
        while at < time:
            end = min(time, at + self.period - state.position % self.period)
            output, state = self._day(engine, inputs.span(at, end), state)
            if state.position % self.period == 0:
                state = self._rest(engine, inputs.span(end - 1, end), state)
            outputs.append(output)
            at = end
        return torch.cat(outputs, dim=1), state

    def _day(
        self, engine: Engine, piece: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        """Tokens between two rests."""
        fast, slow = state.cells
        read, fast = engine.run(self.of[0], *piece[:3], piece.of(0), fast)
        if self.online:
            other, slow = engine.run(self.of[1], *piece[:3], piece.of(1), slow)
        else:
            other = engine.ask(self.of[1], piece.query, piece.of(1), slow, read.shape[-1])
        keys, values = (list(state.own[name].unbind(2)) for name in ("keys", "values"))
        for t in range(piece.key.shape[1]):
            place = self._place(state.position + t)
            if place is not None:
                _put(keys, place, piece.key[:, t])
                _put(values, place, piece.value[:, t])
        own = {"keys": torch.stack(keys, dim=2), "values": torch.stack(values, dim=2)}
        position = state.position + piece.key.shape[1]
        return self._mixed(piece, read, other), CompositionState(position, (fast, slow), own)

    def _rest(self, engine: Engine, last: Inputs, state: CompositionState) -> CompositionState:
        """The slow memory reads past pairs; `last` is the token after which it rests."""
        fast, slow = state.cells
        keys, values = state.own["keys"], state.own["values"]
        drawn = [
            dice(self.seed + 1, state.position * self.steps + step) % keys.shape[2]
            for step in range(self.steps)
        ]
        key, value = (tensor[:, :, drawn].transpose(1, 2) for tensor in (keys, values))
        again = last.over(lambda tensor: tensor.expand(-1, self.steps, *tensor.shape[2:]))
        if self.target == "recalled":
            value = engine.ask(self.of[0], key, again.of(0), fast, value.shape[-1])
        _, slow = engine.run(self.of[1], key, key, value, again.of(1), slow)
        return state._replace(cells=(fast, slow))

    def _place(self, position: int) -> int | None:
        """Where the reservoir puts a token, if it takes it at all."""
        place = position if position < self.buffer else dice(self.seed, position) % (position + 1)
        return place if place < self.buffer else None

    def _mixed(self, inputs: Inputs, fast: Tensor, slow: Tensor) -> Tensor:
        if self.read == "slow":
            return slow
        mix = inputs.gates["mix"]
        return mix[..., 0:1] * fast + mix[..., 1:2] * slow

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        fast, slow = (
            engine.ask(cell, inputs.query, inputs.of(place), inner, inputs.value.shape[-1])
            for place, (cell, inner) in enumerate(zip(self.of, state.cells, strict=True))
        )
        return self._mixed(inputs, fast, slow)

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        value = "v_r" if self.target == "stored" else "M_0(k_r)"
        update = (
            f"the reservoir of {self.buffer} pairs takes (k_t, v_t) with chance {self.buffer} / t",
            f"every {self.period} tokens: M_1 writes {self.steps} pairs (k_r, {value}) from it",
        )
        online = ("M_1 writes (k_t, v_t)",) if self.online else ()
        read = "M_1(q_t)" if self.read == "slow" else "g_{0,t} M_0(q_t) + g_{1,t} M_1(q_t)"
        return (*online, *update), (f"y_t = {read}",), ("M_0: fast, M_1: slow",)


def _put(tensors: list[Tensor], place: int, tensor: Tensor) -> None:
    if place == len(tensors):
        tensors.append(tensor)
    else:
        tensors[place] = tensor


def dice(seed: int, count: int) -> int:
    """A number below 2^64 that looks random, the same for the same seed and count (splitmix64)."""
    mask = (1 << 64) - 1
    mixed = (seed * 0xD1342543DE82EF95 + count * 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)
