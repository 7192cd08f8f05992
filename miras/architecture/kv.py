"""The pairs themselves: attention."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights
from miras.gate import Axis, Signal
from miras.linear import solution
from miras.part import SpecError


class KeyValue(Architecture):
    """All pairs (k_i, v_i) that were kept; read sum_i softmax_i(s q . k_i + log a_i) v_i.

    w_i is short for that softmax; s is 1 / sqrt(key_dim), or the number given. a_i is the product
    of the retention gates since pair i was stored: decay on stored pairs is a bias on their logits
    (forgetting attention), decay of axis `key` shrinks the entries of stored keys each at their own
    pace (wall attention).

    `iterations` n > 1: the query becomes sum_i w_i k_i n - 1 times before values are read. `sink`:
    a learned logit per head joins the softmax and has no value. `slope`: the values around the
    query are fitted by a line instead of a constant, y = v' + sum_i w_i ((k_i - k') . g) v_i, k'
    and v' the means under w; `solved`: g = (C + ridge I)^-1 (q - k'), C the covariance of keys,
    which minimises sum_i w_i |v_i - b - B (k_i - q)|^2 with a ridge on B; `learned`: g = -R q, R
    a learned matrix per head.

    Source: attention (arXiv 1706.03762), equation 1; forgetting attention (arXiv 2503.02130);
    iterations Hopfield networks is all you need (arXiv 2008.02217), equation 3; sinks StreamingLLM
    (arXiv 2309.17453), as a learned logit gpt-oss (arXiv 2508.10925); slopes local linear attention
    (arXiv 2510.01450), and Parallax for the learned one, where g is a projection of its own.
    """

    kind: Literal["kv"] = "kv"
    sharpness: Literal["key_dim"] | Annotated[float, Field(gt=0.0)] = Field(
        default="key_dim", description="s: 1 / sqrt(key_dim), or a number"
    )
    iterations: int = Field(
        default=1, ge=1, le=16, description="steps of a read, the last to values"
    )
    sink: bool = Field(default=False, description="a learned logit of no value in the softmax")
    slope: Literal["none", "solved", "learned"] = Field(
        default="none", description="fit a line to the values around the query, or a constant"
    )
    ridge: float = Field(default=0.1, gt=0.0, le=10.0, description="on the slope that is solved")
    stores_pairs: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "key"})
    symbol: ClassVar[str] = "P"

    @model_validator(mode="after")
    def _one_way_to_read(self) -> "KeyValue":
        if self.slope != "none" and self.iterations > 1:
            raise SpecError(
                "iterations: moves the query to the means of keys, where slope: has nothing left"
                " to fit: use iterations: 1, or slope: none"
            )
        return self

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        infinite, found = float("inf"), list[Signal]()
        if self.sink:
            found.append(Signal("sink", (heads,), -infinite, infinite, False, "logit of no value"))
        if self.slope == "learned":
            square, meaning = (heads, key_dim, key_dim), "R, from the query to the slope"
            std = 0.1 * key_dim**-0.5
            found.append(Signal("slope", square, -infinite, infinite, False, meaning, std=std))
        return found

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {
            "keys": Leaf((0, key_dim), ("pair", "key"), 0.0),
            "values": Leaf((0, value_dim), ("pair", "value"), 0.0),
            "log_kept": Leaf((0,), ("pair",), 0.0),
        }

    def factor(self, key_dim: int) -> float:
        """The number s."""
        return key_dim**-0.5 if self.sharpness == "key_dim" else float(self.sharpness)

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        weight = self._weight(weights, key, gates)
        return (weight[..., None, :] @ _tensor(weights["values"]))[..., 0, :]

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        keys, values = _tensor(weights["keys"]), _tensor(weights["values"])
        for _ in range(self.iterations - 1):
            query = (self._weight(weights, query, gates)[..., None, :] @ keys)[..., 0, :]
        weight = self._weight(weights, query, gates)[..., None, :]
        return self.fit(weight, keys, values, query[..., None, :], gates)[..., 0, :]

    def fit(
        self, weight: Tensor, keys: Tensor, values: Tensor, query: Tensor, gates: Gates
    ) -> Tensor:
        """Answers `[..., queries, value_dim]` from weights `[..., queries, pairs]` of the pairs."""
        mean = weight @ values
        if self.slope == "none":
            return mean
        centre = weight @ keys
        if self.slope == "learned":
            slope = -query @ gates["slope"].mT
        else:
            square = torch.einsum("...qn,...na,...nb->...qab", weight, keys, keys)
            square = square - centre[..., :, None] * centre[..., None, :]
            ridge = self.ridge * torch.eye(keys.shape[-1], dtype=keys.dtype, device=keys.device)
            slope = solution(square + ridge, (query - centre)[..., None])[..., 0]
        along = slope @ keys.mT - (slope * centre).sum(-1, keepdim=True)
        return mean + (weight * along) @ values

    def weigh(self, logits: Tensor, sink: Tensor | None) -> Tensor:
        """Softmax over the last axis, in which a logit `[..., 1]` may take part that is dropped."""
        if sink is None:
            return logits.softmax(-1)
        sink = sink.expand(*logits.shape[:-1], 1)
        return torch.cat((logits, sink), dim=-1).softmax(-1)[..., :-1]

    def _weight(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        logits = (_tensor(weights["keys"]) @ key[..., None])[..., 0] * self.factor(key.shape[-1])
        logits = logits + _tensor(weights["log_kept"])
        return self.weigh(logits, gates["sink"][..., None] if self.sink else None)

    def address(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return self._weight(weights, key, gates)

    def store(self, weights: Weights, key: Tensor, value: Tensor) -> Weights:
        return {
            "keys": torch.cat((weights["keys"], key[..., None, :]), dim=-2),
            "values": torch.cat((weights["values"], value[..., None, :]), dim=-2),
            "log_kept": torch.cat((weights["log_kept"], torch.zeros_like(key[..., :1])), dim=-1),
        }

    def admit(self, weights: Weights, gate: Tensor) -> Weights:
        """Where the gate is 0 the newest pair makes room for a blank one before the oldest.

        So all sequences and heads keep as many places, blank ones first in line to be dropped.
        """
        gone, open_ = gate <= 0, torch.where(gate > 0, gate, torch.ones_like(gate))
        newest = weights["log_kept"][..., -1:] + open_.log()[..., None]
        log_kept = torch.cat((weights["log_kept"][..., :-1], newest), dim=-1)
        lowest = torch.finfo(gate.dtype).min / 4  # finite: a memory of blanks answers with zeros
        admitted: Weights = {}
        for name, leaf in (weights | {"log_kept": log_kept}).items():
            axes = self.leaves(1, 1)[name].axes
            axis = axes.index("pair") - len(axes)
            count = leaf.shape[axis] - 1
            blank = torch.full_like(leaf.narrow(axis, 0, 1), lowest if name == "log_kept" else 0.0)
            without = torch.cat((blank, leaf.narrow(axis, 0, count)), dim=axis)
            admitted[name] = torch.where(gone.reshape(*gone.shape, *[1] * len(axes)), without, leaf)
        if bool((admitted["log_kept"][..., 0] <= lowest).all()):  # blank for all: nobody's place
            admitted = {
                name: leaf.narrow(axis, 1, leaf.shape[axis] - 1)
                for name, leaf in admitted.items()
                for axis in [-1 if name == "log_kept" else -2]
            }
        return admitted

    def scale(self, weights: Weights, multipliers: Mapping[str, Tensor]) -> Weights:
        if "key" in multipliers:
            keys = _tensor(weights["keys"]) * multipliers["key"][..., None, :]
            return weights | {"keys": keys}
        if "" not in multipliers:
            return weights
        kept = multipliers[""].clamp_min(torch.finfo(multipliers[""].dtype).tiny).log()
        return weights | {"log_kept": weights["log_kept"] + kept[..., None]}

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        scale = "/ √key_dim" if self.sharpness == "key_dim" else f"· {self.sharpness:g}"
        kept = f" + Σ_(i<j≤t) log {gates['decay'].replace('_t', '_j')}" if "decay" in gates else ""
        key = "k_i"
        if "decay_key" in gates:
            key = f"(k_i ⊙ Π_(i<j≤t) {gates['decay_key'].replace('_t', '_j')})"
        value, over = "v_i", f" over the pairs in {weights}" + " and a sink" * self.sink
        if self.slope != "none":
            slope = "−R q_t" if self.slope == "learned" else f"(C + {self.ridge:g} I)⁻¹ (q_t − k′)"
            value = f"(1 + (k_i − k′) · g) v_i, g = {slope}"
        softmax = f"softmax_i({key} · {query} {scale}{kept})"
        if self.iterations > 1:
            over += f", after {query} ← Σ_i softmax_i k_i {self.iterations - 1} times"
        return f"Σ_i {softmax} {value}{over}"

    def prediction_products(self, key_dim: int, value_dim: int) -> int:
        fitted = {"none": 0, "learned": 2 * key_dim + value_dim, "solved": key_dim * (key_dim + 2)}
        again = 2 * key_dim * (self.iterations - 1)
        return key_dim + value_dim + again + fitted[self.slope]


def _tensor(leaf: object) -> Tensor:
    assert isinstance(leaf, Tensor)
    return leaf
