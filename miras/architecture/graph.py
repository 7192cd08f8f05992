"""A bank of slots with directed edges between them."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras import info
from miras.architecture import Architecture, Gates, Leaf, Weights
from miras.gate import AnyGate, Signal, Use
from miras.gate.clamped import Clamped
from miras.gate.constant import Constant
from miras.token import Token

TINY = 1e-8


class Graph(Architecture):
    """Slots M in R^(N x D) with edges A in R^(N x N), read by content and along the edges.

    A key is cut into H addresses of D numbers, each of which reads:

        s_n = sharpness cos(q, M_n),   w = softmax over the `top` largest s (others 0)
        w' = (w + spread w A) / |.|_1
        w'' = p_1 w' + p_2 / N + p_3 chance / |chance|_1,   p = softmax(W q + b)    (policy: meta)
        u = w'' M,   the answer is [u_1 .. u_H]

    Reading leaves traces: the age of slots among the `top` of any address goes to 0, and `active`
    is the mean of w'' over addresses, from which a Hebbian optimizer makes edges. Only positive
    edges conduct; `rows` divides the edges of a slot by their sum first.

    Writing addresses are softmax over the `top` largest of sharpness cos(k, M_n) + age_n / max age,
    with a sharpness of their own, and what is written passes W2 gelu(W1 v + b1) + b2 where there is
    a `bottleneck`. A slot is key and value at once, so both have one size; where H does not divide
    it, zeros fill the last address.

    Source: MemNet (github.com/Ant1pozitive/memory-is-all-you-need, memory bank), written down from
    its code; cosine addresses as in neural Turing machines (arXiv 1410.5401).
    Differs: slots start normal with the length that they have there.
    """

    kind: Literal["graph"] = "graph"
    size: int = Field(default=16, ge=1, le=65_536, description="number of slots")
    addresses: int = Field(default=1, ge=1, le=64, description="addresses that a key is cut into")
    top: int | None = Field(default=None, ge=1, le=65_536, description="slots of an address; all")
    spread: AnyGate = Field(
        default=Constant(value=0.2), description="how far activation spreads along edges"
    )
    rows: bool = Field(default=False, description="divide the edges of a slot by their sum")
    policy: Literal["content", "meta"] = Field(
        default="content", description="read by content, or mix that with all and with any slot"
    )
    chance: AnyGate = Field(
        default=Constant(), description="weights of the random branch of policy meta; 1: uniform"
    )
    read_sharpness: AnyGate = Field(
        default=Clamped(least=1.0, most=20.0), description="factor on the cosines of a read"
    )
    write_sharpness: AnyGate = Field(
        default=Clamped(least=1.0, most=20.0), description="factor on the cosines of a write"
    )
    age: Literal["none", "sequence", "batch"] = Field(
        default="sequence",
        description="prefer old slots when writing; the largest age is that of the sequence, or as"
        " published of the whole batch",
    )
    bottleneck: int = Field(
        default=0, ge=0, le=65_536, description="hidden units that a value passes; 0: none"
    )
    autoassociative: ClassVar[bool] = True
    symbol: ClassVar[str] = "M"

    @property
    def plain(self) -> bool:
        return False

    @property
    def slots(self) -> int:
        return self.size

    @property
    def lookups(self) -> int:
        return self.addresses

    def uses(self) -> list[Use]:
        most = math.inf
        found = [
            Use("spread", "", self.spread, 0.0, most, "how far activation spreads"),
            Use("read_sharpness", "address", self.read_sharpness, 0.0, most, "sharpness of reads"),
            Use("write_sharpness", "address", self.write_sharpness, 0.0, most, "and of writes"),
        ]
        if self.policy == "meta":
            meaning = "weights of the random branch"
            found.append(Use("chance", "place", self.chance, 1e-30, 1e30, meaning))
        return found

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        dim, wide = self._dim(key_dim), self.bottleneck
        found: list[Signal] = []

        def add(name: str, shape: tuple[int, ...], std: float, meaning: str) -> None:
            shape = (heads, *shape)
            found.append(Signal(name, shape, -math.inf, math.inf, False, meaning, std=std))

        if self.policy == "meta":
            std = (3 * dim) ** -0.5
            add("policy_weight", (3, dim), std, "from a query to top, all, any")
            add("policy_bias", (3,), std, "bias of top, all, any")
        if wide:
            add("bottleneck_in", (wide, dim), (3 * dim) ** -0.5, "from a value to the bottleneck")
            add("bottleneck_in_bias", (wide,), (3 * dim) ** -0.5, "bias of the bottleneck")
            add("bottleneck_out", (dim, wide), (3 * wide) ** -0.5, "from the bottleneck to a slot")
            add("bottleneck_out_bias", (dim,), (3 * wide) ** -0.5, "bias of what is written")
        return found

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        dim, count = self._dim(key_dim), self.size
        return {
            "slots": Leaf((count, dim), ("slot", "value"), (count * dim) ** -0.5),
            "edges": Leaf((count, count), ("slot", "slot"), 0.0, learned=False),
            "active": Leaf((count,), ("slot",), 0.0, learned=False),
            "age": Leaf((count,), ("slot",), 0.0, learned=False),
        }

    def candidate(self, value: Tensor, gates: Gates, output: Tensor) -> Tensor:
        if not self.bottleneck:
            return value
        inner = torch.einsum("...ad,...hd->...ah", self._cut(value), gates["bottleneck_in"])
        inner = F.gelu(inner + gates["bottleneck_in_bias"][..., None, :])
        outer = torch.einsum("...ah,...dh->...ad", inner, gates["bottleneck_out"])
        outer = outer + gates["bottleneck_out_bias"][..., None, :]
        return outer.flatten(-2)[..., : value.shape[-1]]

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        reading = self.reading(weights, key, gates)
        found = torch.einsum("...an,...nd->...ad", reading, weights["slots"])
        return found.flatten(-2)[..., : key.shape[-1]]

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        if info.wanted():
            info.note("address/read", self.reading(weights, query, gates))
        return self.predict(weights, query, gates)

    def reading(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        """How strongly each address of a key reads each slot `[..., addresses, slots]`."""
        edges = weights["edges"].clamp_min(0.0)
        if self.rows:
            edges = edges / (edges.sum(-1, keepdim=True) + TINY)
        weight = self._sparse(self._cosines(weights, key, gates["read_sharpness"]))[0]
        along = torch.einsum("...an,...nm->...am", weight, edges)
        weight = weight + gates["spread"][..., None, None] * along
        weight = weight / (weight.sum(-1, keepdim=True) + TINY)
        if self.policy == "content":
            return weight
        share = self.shares(key, gates)
        chance = gates["chance"]
        chance = chance.reshape(*chance.shape[:-1], self.addresses, self.size)
        chance = chance / chance.sum(-1, keepdim=True)
        mixed = share[..., :1] * weight + share[..., 1:2] / self.size
        return mixed + share[..., 2:] * chance

    def shares(self, key: Tensor, gates: Gates) -> Tensor:
        """What each address of a key takes from top, all and any slots `[..., addresses, 3]`."""
        logits = torch.einsum("...ad,...pd->...ap", self._cut(key), gates["policy_weight"])
        return (logits + gates["policy_bias"][..., None, :]).softmax(-1)

    def address(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor | None:
        return self.reading(weights, key, gates).mean(-2)

    def allot(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor | None:
        likeness = self._cosines(weights, key, gates["write_sharpness"])
        if self.age != "none":
            age = weights["age"] + 1.0
            oldest = age.amax() if self.age == "batch" else age.amax(-1, keepdim=True)
            likeness = likeness + (age / oldest.clamp_min(TINY))[..., None, :]
        return self._sparse(likeness)[0]

    def trace(self, weights: Weights, token: Token) -> Weights:
        gates = token.gates
        cosines = self._cosines(weights, token.query, gates["read_sharpness"])
        touched = self._sparse(cosines)[1].any(-2)
        active = self.reading(weights, token.query, gates).mean(-2)
        return weights | {"age": weights["age"].masked_fill(touched, 0.0), "active": active}

    def scale(self, weights: Weights, multipliers: Mapping[str, Tensor]) -> Weights:
        # Edges, activity and age are no content: a decay of the memory leaves them alone.
        return weights | super().scale({"slots": weights["slots"]}, multipliers)

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        # An address sums to 1, so a unit step along the error moves the answer by at most 1.
        return torch.ones_like(key[..., 0])

    def formula(self, weights: str, key: str) -> str:
        return f"concat_h w″_h({key}) {weights}"

    def candidate_formula(self, value: str, output: str, gates: Mapping[str, str]) -> str:
        return f"W₂ gelu(W₁ {value} + b₁) + b₂" if self.bottleneck else value

    def meaning(self) -> str:
        which = f"the {self.top} largest" if self.top else "all slots"
        edges = "A with rows of sum 1" if self.rows else "A"
        lines = [
            f"w_h(q): softmax of sharpness · cos(q_h, M_n) over {which}, h = 1..{self.addresses}"
        ]
        lines.append(f"w′ = (w + spread · w {edges}) / its sum")
        mixed = "p₁ w′ + p₂ / N + p₃ chance / its sum, p = softmax(W q_h + b)"
        lines.append(f"w″ = {mixed if self.policy == 'meta' else 'w′'}")
        old = "" if self.age == "none" else " + age_n / max age"
        lines.append(f"s_h: softmax of sharpness · cos(k_h, M_n){old} over {which}")
        lines.append("z_h: the part of address h in what is written")
        lines.append("ā_t: mean of w″_h over h at the last read")
        return "; ".join(lines)

    def sensitivity_formula(self, key: str) -> str:
        return "1"

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        dim = self._dim(key_dim)
        return self.addresses * self.size * (2 * dim + self.size)

    def _dim(self, key_dim: int) -> int:
        return -(-key_dim // self.addresses)

    def _cut(self, key: Tensor) -> Tensor:
        """A key `[..., key_dim]` as addresses `[..., addresses, dim]`."""
        missing = self._dim(key.shape[-1]) * self.addresses - key.shape[-1]
        return F.pad(key, (0, missing)).reshape(*key.shape[:-1], self.addresses, -1)

    def _cosines(self, weights: Weights, key: Tensor, sharpness: Tensor) -> Tensor:
        query = F.normalize(self._cut(key), dim=-1, eps=TINY)
        slots = F.normalize(weights["slots"], dim=-1, eps=TINY)
        return torch.einsum("...ad,...nd->...an", query, slots) * sharpness[..., None]

    def _sparse(self, likeness: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax over the largest entries, and which these are."""
        if self.top is None or self.top >= self.size:
            return likeness.softmax(-1), torch.ones_like(likeness, dtype=torch.bool)
        chosen = likeness.topk(self.top, dim=-1).indices
        kept = torch.zeros_like(likeness, dtype=torch.bool).scatter(-1, chosen, True)
        return likeness.masked_fill(~kept, -math.inf).softmax(-1), kept
