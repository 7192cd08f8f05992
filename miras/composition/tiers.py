"""Window, slots, slow weights: what is asked for again moves up, what is not is lost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Own, Sizes
from miras.gate import AnyGate, Signal
from miras.gate.constant import Constant

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Tier(NamedTuple):
    """Pairs in places of one tier, of every sequence and head."""

    keys: Tensor  # [batch, heads, places, key_dim], of length 1
    values: Tensor  # [batch, heads, places, value_dim]
    heat: Tensor  # [batch, heads, places]
    used: Tensor  # [batch, heads, places], 1 or 0

    def told(self, key: Tensor, value: Tensor, merge: float) -> "Tier":
        """A pair with a known key corrects the value wherever that key is."""
        same = (torch.einsum("bhnk,bhk->bhn", self.keys, key) >= merge) & (self.used > 0)
        return self._replace(values=torch.where(same[..., None], value[:, :, None], self.values))


class Tiers(Composition):
    """Three tiers: the last `window` pairs, `slots` pairs that earned their place, slow weights.

    All pairs lie under their keys of length 1. A read is one softmax over the pairs of window and
    slots and over "not here", whose logit is that of a cosine of `match`:

        a = softmax(s cos(q, k_i), s match),   y = sum_i a_i v_i + a_none g M(q).

    What the pairs do not know, the slow memory M answers (without `of`: zero). Each pair has a
    heat: heat <- keep heat + a_i at every token. A pair that leaves the window joins the slot with
    the same key (cosine at least `merge`), which takes its heat over; else, if its heat has reached
    `threshold`, it takes a free slot or that of the coldest pair; else it is lost. A pair that is
    told again corrects its value in both tiers. Every `period` tokens the `promote` hottest slots
    are written to M by its own rule, with the gates of that token, and cool down to 0; empty slots
    count as pairs of zeros. Until then, and at that token, reads see M as it was.

    Source: MemGPT (arXiv 2310.08560) and MemoryOS (arXiv 2506.06326) as one differentiable memory:
    window for the queue, slots for segments with heat, slow weights for the long-term store.
    Differs: choices by heat are hard, gradients go through what is stored and read.
    """

    compose: Literal["tiers"] = "tiers"
    of: "AnyCell | None" = Field(default=None, description="the slow memory, if there is one")
    window: int = Field(default=16, ge=1, le=65_536, description="latest pairs that are kept")
    slots: int = Field(default=48, ge=1, le=65_536, description="places for pairs with heat")
    sharpness: float = Field(default=20.0, gt=0.0, le=1000.0, description="s at the start")
    match: float = Field(
        default=0.5, ge=-1.0, le=1.0, description='cosine that "not here" stands for'
    )
    merge: float = Field(
        default=0.9, gt=0.0, le=1.0, description="cosine of keys that are the same"
    )
    keep: float = Field(
        default=0.999, ge=0.0, le=1.0, description="heat that is left at each token"
    )
    threshold: float = Field(default=0.5, ge=0.0, description="heat that earns a slot")
    period: int = Field(default=64, ge=1, description="tokens between promotions")
    promote: int = Field(default=8, ge=1, description="slots written to the slow memory each time")
    mix: AnyGate = Field(default=Constant(), description="weight g of the slow memory's read")

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return () if self.of is None else (self.of,)

    def own(self) -> list[Own]:
        if self.of is None:
            return []
        return [Own("mix", self.mix, 0, 0.0, torch.inf, "weight of the slow memory's read")]

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        meaning, bound = "sharpness of the choice among pairs", torch.inf
        return [Signal("sharpness", (heads,), -bound, bound, False, meaning, mean=self.sharpness)]

    def begin(self, cells: tuple[object, ...], sizes: Sizes, like: Tensor) -> CompositionState:
        own: dict[str, Tensor] = {}
        for name, places in (("window", self.window), ("slots", self.slots)):
            shape = (sizes.batch, sizes.heads, places)
            tier = Tier(
                like.new_zeros(*shape, sizes.key_dim),
                like.new_zeros(*shape, sizes.value_dim),
                like.new_zeros(shape),
                like.new_zeros(shape),
            )
            own |= {f"{name} {field}": leaf for field, leaf in tier._asdict().items()}
        return CompositionState(0, cells, own)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        time, at, outputs = inputs.key.shape[1], 0, list[Tensor]()
        while at < time:
            end = min(time, at + self.period - state.position % self.period)
            output, state = self._span(engine, inputs.span(at, end), state)
            if state.position % self.period == 0 and self.of is not None:
                state = self._promoted(engine, self.of, inputs.span(end - 1, end), state)
            outputs.append(output)
            at = end
        return torch.cat(outputs, dim=1), state

    def _span(
        self, engine: Engine, piece: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        """Tokens between two promotions: the slow memory stands still."""
        slow = self._slow(engine, piece, state)
        window, slots = _tiers(state)
        outputs: list[Tensor] = []
        for t in range(piece.key.shape[1]):
            window, slots = self._write(window, slots, piece.key[:, t], piece.value[:, t])
            read, none, mass = self._read(window, slots, piece.query[:, t], piece.gates)
            heat = torch.cat((window.heat, slots.heat), dim=-1) * self.keep + mass.detach()
            window = window._replace(heat=heat[..., : self.window])
            slots = slots._replace(heat=heat[..., self.window :])
            outputs.append(read if slow is None else read + none * slow[:, t])
        own = {f"window {field}": leaf for field, leaf in window._asdict().items()}
        own |= {f"slots {field}": leaf for field, leaf in slots._asdict().items()}
        position = state.position + piece.key.shape[1]
        return torch.stack(outputs, dim=1), CompositionState(position, state.cells, own)

    def _slow(self, engine: Engine, piece: Inputs, state: CompositionState) -> Tensor | None:
        if self.of is None:
            return None
        size = piece.value.shape[-1]
        read = engine.ask(self.of, piece.query, piece.of(0), state.cells[0], size)
        return piece.gates["mix"][..., None] * read

    def _write(self, window: Tier, slots: Tier, key: Tensor, value: Tensor) -> tuple[Tier, Tier]:
        """A new pair comes in, the oldest one of a full window goes on or is lost."""
        key = F.normalize(key, dim=-1)
        leaving = Tier(*(leaf[:, :, 0] for leaf in window))
        none = torch.zeros_like(leaving.heat)
        new = Tier(key, value, none, torch.ones_like(none))
        window = window.told(key, value, self.merge)
        window = Tier(
            *(
                torch.cat((leaf[:, :, 1:], fresh[:, :, None]), dim=2)
                for leaf, fresh in zip(window, new, strict=True)
            )
        )
        slots = slots.told(key, value, self.merge)
        return window, self._joined(slots, leaving)

    def _joined(self, slots: Tier, leaving: Tier) -> Tier:
        """Slots after a pair has left the window; its fields have no places."""
        cosine = torch.einsum("bhnk,bhk->bhn", slots.keys, leaving.keys)
        known, nearest = cosine.masked_fill(slots.used == 0, -torch.inf).max(-1)
        known = known >= self.merge
        coldest = torch.where(slots.used > 0, slots.heat, -1.0).argmin(-1)
        place = torch.where(known, nearest, coldest)
        comes = (known | (leaving.heat >= self.threshold)) & (leaving.used > 0)
        here = F.one_hot(place, self.slots).bool() & comes[..., None]
        heat = torch.where(known[..., None], slots.heat, 0.0) + leaving.heat[..., None]
        return Tier(
            torch.where(here[..., None], leaving.keys[:, :, None], slots.keys),
            torch.where(here[..., None], leaving.values[:, :, None], slots.values),
            torch.where(here, heat, slots.heat),
            torch.where(here, torch.ones_like(slots.used), slots.used),
        )

    def _read(
        self, window: Tier, slots: Tier, query: Tensor, gates: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read, weight of "not here" `[batch, heads, 1]`, and weight of each place."""
        keys, values, _, used = (torch.cat(pair, dim=2) for pair in zip(window, slots, strict=True))
        cosine = torch.einsum("...hnk,...hk->...hn", keys, F.normalize(query, dim=-1))
        none = torch.full_like(cosine[..., :1], self.match)
        logits = torch.cat((cosine, none), dim=-1) * gates["sharpness"][:, None]
        logits = logits.masked_fill(F.pad(used, (0, 1), value=1.0) == 0, -torch.inf)
        mass = logits.softmax(-1)
        read = torch.einsum("...hn,...hnr->...hr", mass[..., :-1], values)
        return read, mass[..., -1:], mass[..., :-1]

    def _promoted(
        self, engine: Engine, slow: "AnyCell", last: Inputs, state: CompositionState
    ) -> CompositionState:
        _, slots = _tiers(state)
        count = min(self.promote, self.slots)
        hottest = slots.heat.topk(count, dim=-1).indices

        def of(leaf: Tensor) -> Tensor:
            chosen = hottest[..., None].expand(-1, -1, -1, leaf.shape[-1])
            return leaf.gather(2, chosen).transpose(1, 2)

        key, value = of(slots.keys), of(slots.values)
        again = last.over(lambda tensor: tensor.expand(-1, count, *tensor.shape[2:]))
        _, cell = engine.run(slow, key, key, value, again.of(0), state.cells[0])
        cooled = slots.heat.scatter(-1, hottest, 0.0)
        return state._replace(cells=(cell,), own=state.own | {"slots heat": cooled})

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        slow = self._slow(engine, inputs, state)
        window, slots = (Tier(*(leaf[:, None] for leaf in tier)) for tier in _tiers(state))
        window, slots = (_spread(tier, inputs.query.shape[1]) for tier in (window, slots))
        flat = inputs.query.flatten(0, 1)
        read, none, _ = self._read(window, slots, flat, inputs.gates)
        shape = inputs.query.shape[:3]
        read, none = read.reshape(*shape, -1), none.reshape(*shape, 1)
        return read if slow is None else read + none * slow

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        update = (
            f"window_t = the last {self.window} pairs (k_i, v_i), |k_i| = 1",
            f"heat_i ← {self.keep:g} heat_i + a_{{i,t}}",
            f"a pair that leaves the window joins the slot of its key (cosine ≥ {self.merge:g}),",
            f"  or with heat ≥ {self.threshold:g} takes the coldest of {self.slots} slots",
        )
        slow = ""
        if self.of is not None:
            update += (
                f"every {self.period} tokens: M writes the {self.promote} hottest slots, heat ← 0",
            )
            slow = " + a_{none,t} g_t M(q_t)"
        read = (
            f"a_t = softmax(s cos(q_t, k_i) over window and slots, s · {self.match:g} for none)",
            f"y_t = Σ_i a_{{i,t}} v_i{slow}",
        )
        return update, read, ()


def _tiers(state: CompositionState) -> tuple[Tier, Tier]:
    window, slots = (
        Tier(*(state.own[f"{name} {field}"] for field in Tier._fields))
        for name in ("window", "slots")
    )
    return window, slots


def _spread(tier: Tier, time: int) -> Tier:
    """The same places for every question: `[batch * time, heads, ...]`."""
    return Tier(*(leaf.expand(-1, time, *leaf.shape[2:]).flatten(0, 1) for leaf in tier))
