"""A large table of slots, found through two small tables of sub-keys."""

from functools import cache
from typing import ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Pull, Weights
from miras.gate import Axis


class Chosen(NamedTuple):
    """The slots that a key means; all addresses of a token beside each other."""

    slot: Tensor  # [..., addresses * top], whole numbers below side^2
    weight: Tensor  # [..., addresses * top], what the softmax gives to each


class ProductKey(Architecture):
    """V in R^(side^2 x value), prediction sum_i w_i V_i over the `top` slots nearest to the key.

    The key is cut into `addresses` pieces, each into two halves q1, q2 (padded with zeros if it
    does not divide). Slot (i, j) has the score s(q1, K1_i) + s(q2, K2_j); the best of all side^2
    are among the best of each half, so that 2 side scores are computed and not side^2. w is the
    softmax of the chosen scores, of each address or of all together. Scores: s(q, K) = -log(epsilon
    + |q - K|^2), which makes w inverse distances, or s = q . K. V, K1 and K2 are the state, learned
    at the start. Gradients of the bias reach V, or with `route: all` K1 and K2 as well.

    `balance` adds a second objective for the sub-keys: -balance (H(p1) + H(p2)), H the entropy and
    p the softmax of the `top` scores of a half, averaged over the addresses of a batch; its step is
    1. Values `[..., side^2, value]`, sub-keys `[..., side, addresses, half]`.

    Source: product keys (arXiv 1907.05242), section 3.2; FwPKM (arXiv 2601.00671), whose equations
    were read in the authors' code. Differs: p is averaged over the pairs that a batch learns, which
    with `target: next_value` are those before its tokens.
    """

    kind: Literal["product_key"] = "product_key"
    side: int = Field(default=32, ge=2, le=2048, description="sub-keys per half; slots are side^2")
    top: int = Field(default=8, ge=1, le=512, description="slots that one address means")
    addresses: int = Field(default=1, ge=1, le=64, description="pieces of a key that are looked up")
    softmax: Literal["joint", "each"] = Field(
        default="joint", description="over the slots of all addresses of a token, or of each"
    )
    score: Literal["inverse_distance", "dot"] = "inverse_distance"
    epsilon: float = Field(default=1e-3, gt=0.0, le=1.0, description="least squared distance")
    route: Literal["values", "all"] = Field(
        default="values", description="which tables the bias changes: values, or sub-keys as well"
    )
    balance: float = Field(
        default=0.0, ge=0.0, description="weight of the entropy of the addresses of a batch"
    )
    key_std: float | None = Field(
        default=None,
        gt=0.0,
        description="of the initial sub-keys, which are uniform; if left out they reach"
        " 1/sqrt(size of an address)",
    )
    value_std: float | None = Field(
        default=None, gt=0.0, description="of the initial values; 1/sqrt(value_dim) if left out"
    )
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "slot", "value"})
    together: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return False

    @property
    def slots(self) -> int:
        return self.side**2

    @property
    def balances(self) -> bool:
        return self.balance > 0

    def _half(self, key_dim: int) -> int:
        return -(-key_dim // (2 * self.addresses))

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        std = self.value_std or value_dim**-0.5
        shape = (self.side, self.addresses, self._half(key_dim))
        key_std = self.key_std or (6 * shape[-1]) ** -0.5
        half = Leaf(shape, ("subkey", "address", "half"), key_std, uniform=True)
        values = Leaf((self.slots, value_dim), ("slot", "value"), std)
        return {"table": values, "first": half, "second": half}

    def scores(self, weights: Weights, key: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of all sub-keys of each half, `[..., addresses, side]`."""
        half = self._half(key.shape[-1])
        padded = F.pad(key, (0, 2 * self.addresses * half - key.shape[-1]))
        query = padded.reshape(*key.shape[:-1], self.addresses, 2, half)
        first, second = query.unbind(-2)
        return self._scored(weights["first"], first), self._scored(weights["second"], second)

    def _scored(self, table: Tensor, query: Tensor) -> Tensor:
        product = torch.einsum("...naw,...aw->...an", table, query)
        if self.score == "dot":
            return product
        lengths = table.square().sum(-1).transpose(-1, -2)
        distance = query.square().sum(-1, keepdim=True) + lengths - 2 * product
        return -torch.log(self.epsilon + distance.clamp_min(0.0))

    def choose(self, weights: Weights, key: Tensor) -> Chosen:
        """The slots with the highest scores, highest first within each address."""
        count = min(self.top, self.side)
        (first, rows), (second, columns) = (
            each.topk(count, dim=-1) for each in self.scores(weights, key)
        )
        upper, lower = (torch.tensor(rank, device=key.device) for rank in _ranks(self.top, count))
        sums = first[..., upper] + second[..., lower]
        index = rows[..., upper] * self.side + columns[..., lower]
        best, place = sums.topk(min(self.top, self.slots), dim=-1)
        index = index.gather(-1, place).flatten(-2)
        if self.softmax == "each":
            return Chosen(index, best.softmax(-1).flatten(-2))
        return Chosen(index, best.flatten(-2).softmax(-1))

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        chosen = self.choose(weights, key)
        return _mixed(weights["table"], chosen)

    def respond(self, weights: Weights, key: Tensor, gates: Gates) -> tuple[Tensor, Pull]:
        if self.route == "all":
            return super().respond(weights, key, gates)
        chosen = self.choose(weights, key)

        def pull(error: Tensor) -> Weights:
            written = chosen.weight[..., None] * error[..., None, :]
            nothing = {name: torch.zeros_like(leaf) for name, leaf in weights.items()}
            values = nothing["table"]
            places = _places(values, chosen.slot)
            written = torch.broadcast_to(written, (*places[-1].shape, written.shape[-1]))
            return nothing | {"table": values.index_put(places, written, accumulate=True)}

        return _mixed(weights["table"], chosen), pull

    def address(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        chosen = self.choose(weights, key)
        nothing = chosen.weight.new_zeros(*chosen.weight.shape[:-1], self.slots)
        return nothing.scatter_add(-1, chosen.slot, chosen.weight)

    def counts(self, weights: Weights, keys: Tensor, gates: Gates) -> Tensor:
        found = {name: leaf[..., None, :, :] for name, leaf in weights.items() if name == "table"}
        found |= {n: leaf[..., None, :, :, :] for n, leaf in weights.items() if n != "table"}
        index, weight = self.choose(found, keys)
        seen = weight > 0
        if self.addresses > 1:  # two addresses of one token may mean the same slot
            again = index[..., :, None] == index[..., None, :]
            seen = seen & ~(again & seen[..., None, :]).tril(-1).any(-1)
        nothing = weight.new_zeros(*weight.shape[:-2], self.slots)
        return nothing.scatter_add(-1, index.flatten(-2), seen.to(weight.dtype).flatten(-2))

    def sensitivity(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        index, weight = self.choose(weights, key)
        if self.addresses == 1:
            return weight.square().sum(-1)
        same = (index[..., :, None] == index[..., None, :]).to(weight.dtype)
        return torch.einsum("...i,...ij,...j->...", weight, same, weight)

    def crowding(self, weights: Weights, keys: Tensor, shared: bool) -> Weights:
        names = ("first", "second")

        def objective(tables: Weights) -> Tensor:
            found = {name: leaf[..., None, :, :, :] for name, leaf in tables.items()}
            total = keys.new_zeros(())
            for scores in self.scores(found, keys):  # [batch, heads, tokens, addresses, side]
                count = min(self.top, self.side)
                best, place = scores.topk(count, dim=-1)
                chosen = torch.zeros_like(scores).scatter(-1, place, best.softmax(-1))
                share = chosen.mean((0, 2, 3) if shared else (2, 3))
                tiny = torch.finfo(share.dtype).tiny
                total = total + (share * share.clamp_min(tiny).log()).sum()
            return self.balance * total

        gradient = torch.func.grad(objective)({name: weights[name] for name in names})
        return {name: gradient[name] for name in names}

    def formula(self, weights: str, key: str) -> str:
        return f"Σ_i w_i({key}) V_i"

    def meaning(self) -> str:
        nearness = "q · K"
        if self.score == "inverse_distance":
            nearness = f"−log({self.epsilon:g} + ‖q − K‖²)"
        return (
            f"V_i: the {self.top} of {self.slots} slots (a, b) with the highest s(q¹, K¹_a) +"
            f" s(q², K²_b), w their softmax, s(q, K) = {nearness}; W = (V, K¹, K²)"
        )

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        if self.route == "all":
            return super().gradient_formula(weights, key, error)
        return f"w({key}) {error}ᵀ"

    def sensitivity_formula(self, key: str) -> str:
        return f"‖w({key})‖²"

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        tables = 2 * self.side * self.addresses * self._half(key_dim)
        return tables + self.addresses * self.top * value_dim

    def gradient_products(self, key_dim: int, value_dim: int) -> int:
        tables = 2 * self.side * self.addresses * self._half(key_dim)
        return self.addresses * self.top * value_dim + (tables if self.route == "all" else 0)


@cache
def _ranks(top: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ranks in both halves of the pairs that can be among the best `top`.

    A pair of ranks (a, b), counted from 0, has (a + 1)(b + 1) - 1 pairs that are at least as good.
    """
    pairs: list[tuple[int, int]] = [
        (a, b) for a in range(count) for b in range(count) if (a + 1) * (b + 1) <= top
    ]
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def _places(table: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    """What takes the rows `index [..., n]` out of a table `[..., slots, value]`.

    Leading dimensions of one size are broadcast; the table is never copied for it.
    """
    leading = table.shape[:-2]
    found: list[Tensor] = []
    for place, size in enumerate(leading):
        along = torch.arange(size, device=index.device)
        found.append(along.reshape(size, *[1] * (len(leading) - place)))
    return cast(tuple[Tensor, ...], torch.broadcast_tensors(*found, index))


def _mixed(table: Tensor, chosen: Chosen) -> Tensor:
    rows = table[_places(table, chosen.slot)]
    return torch.einsum("...n,...nv->...v", chosen.weight, rows)
