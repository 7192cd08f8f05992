"""Copies of one memory, of which each token is written to a few."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Own
from miras.composition.tree import stacked, tree
from miras.gate import AnyGate, Use
from miras.gate.softplus import Softplus
from miras.memory import Memory
from miras.part import IncompatibleParts, SpecError

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Router(Composition):
    """y_t = sum over the chosen i of w_i,t M_i(q_t), plus M_shared(q_t).

    `copies` states of one host memory. `route` scores them, the `top_k` best are chosen, head by
    head, and w are their scores divided by the sum of them. Only chosen copies are written: the
    others neither decay nor learn at this token. With `shared`, one more copy is always written and
    always read, with weight 1.

    Where every gate of the host can say "nothing happens", all copies run as one batch by the
    host's fast plan; else tokens go one by one.

    Source: mixture of memories (arXiv 2502.13685), section 3.
    Differs: one key and value for all copies; routes differ by head; no loss that balances them.
    """

    compose: Literal["router"] = "router"
    of: "AnyCell" = Field(description="the host memory")
    copies: int = Field(default=4, ge=2, le=256, description="memories to choose from")
    top_k: int = Field(default=2, ge=1, description="memories that a token is written to")
    route: AnyGate = Field(default=Softplus(start=1.0), description="score of each memory")
    shared: bool = Field(default=True, description="one more memory that takes every token")

    @model_validator(mode="after")
    def _there_are_enough(self) -> "Router":
        if self.top_k > self.copies:
            raise SpecError(
                f"top_k: {self.top_k} of copies: {self.copies}: choose top_k: {self.copies} at most"
            )
        if not isinstance(self.of, Memory) or self.of.architecture.stores_pairs:
            raise IncompatibleParts(
                "compose router keeps some states as they are while others change: use one memory"
                " of fixed size as host, such as gated-deltanet"
            )
        return self

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    @property
    def count(self) -> int:
        """States that are kept."""
        return self.copies + self.shared

    def own(self) -> list[Own]:
        return [Own("route", self.route, self.copies, 0.0, torch.inf, "score of each memory")]

    def begin(self, cells: tuple[object, ...], sizes: object, like: Tensor) -> CompositionState:
        # One state, whose batch holds the copies one after the other, the shared one last.
        return CompositionState(0, (stacked(list(cells) * self.count),), {}, copies=self.count)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        weight = self._weights(inputs.gates["route"])  # [batch, time, heads, count]
        many = inputs.over(lambda tensor: torch.cat([tensor] * self.count))
        chosen = torch.cat(weight.unbind(-1)) > 0  # [count * batch, time, heads]
        idle = _idle(self.of) if isinstance(self.of, Memory) else None
        if idle is not None:
            many = _silenced(many, idle, chosen)
            reads, cell = engine.run(self.of, *many[:3], many.of(0), state.cells[0])
        else:
            reads, cell = self._one_by_one(engine, many, chosen, state.cells[0])
        output = self._mixed(reads, weight)
        return output, state._replace(position=state.position + inputs.key.shape[1], cells=(cell,))

    def _one_by_one(
        self, engine: Engine, many: Inputs, chosen: Tensor, cell: object
    ) -> tuple[Tensor, object]:
        reads: list[Tensor] = []
        for t in range(chosen.shape[1]):
            now = many.span(t, t + 1)
            read, new = engine.run(self.of, *now[:3], now.of(0), cell)

            def kept(fresh: Tensor, old: Tensor, here: Tensor = chosen[:, t]) -> Tensor:
                return torch.where(here.reshape(*here.shape, *[1] * (fresh.dim() - 2)), fresh, old)

            cell = tree(kept, new, cell)
            reads.append(read)
        return torch.cat(reads, dim=1), cell

    def _weights(self, score: Tensor) -> Tensor:
        kept = score.topk(self.top_k, dim=-1).indices
        mask = torch.zeros_like(score).scatter(-1, kept, 1.0)
        least = torch.finfo(score.dtype).tiny  # scores of zero leave equal weights
        score = (score + least) * mask
        weight = score / score.sum(-1, keepdim=True)
        return torch.cat((weight, torch.ones_like(score[..., :1])), -1) if self.shared else weight

    def _mixed(self, reads: Tensor, weight: Tensor) -> Tensor:
        found = torch.stack(reads.chunk(self.count), dim=-2)
        return (torch.where(weight[..., None] > 0, found, 0.0) * weight[..., None]).sum(-2)

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        many = inputs.over(lambda tensor: torch.cat([tensor] * self.count))
        size = inputs.value.shape[-1]
        reads = engine.ask(self.of, many.query, many.of(0), state.cells[0], size)
        return self._mixed(reads, self._weights(inputs.gates["route"]))

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        update = (
            f"chosen_t = the {self.top_k} of {self.copies} with the largest scores r_{{i,t}}",
            "M_i writes (k_t, v_t) if i ∈ chosen_t, else it stays as it is",
        )
        shared = " + M_s(q_t)" if self.shared else ""
        read = f"y_t = Σ_(i ∈ chosen_t) r_{{i,t}} M_i(q_t) / Σ_(i ∈ chosen_t) r_{{i,t}}{shared}"
        where = ("M_s: the shared memory, which writes every token",) if self.shared else ()
        return update, (read,), where


Idle = dict[str, float]
"""The gates of a host and the numbers at which nothing happens; `value` is the value itself."""


def _idle(host: Memory) -> Idle | None:
    """How to tell a host to leave its state alone, if gates can say it."""
    step = host.stepping
    if step is None or not step.plain or not host.plain or host.recurrent:
        return None
    if step.span > 1 or not host.retention.identity_link or host.bias.target != "value":
        return None
    found: Idle = {} if host.bias.residual else {"value": 0.0}
    for use in host.uses:
        role = use.name.partition("_")[0]
        wanted = {"decay": 1.0, "step": 0.0}.get(role)
        if wanted is None or (role == "step" and not host.bias.residual and not use.gate.own):
            continue
        if not _can_be(use, wanted):
            return None
        if use.gate.own:
            found[use.name] = wanted
    return None if host.architecture.normalised and "step" not in found else found


def _can_be(use: Use, wanted: float) -> bool:
    one = torch.ones(1)
    if use.gate.fixed is not None:
        return use.gate.fixed == wanted
    if use.gate.derived:
        return bool(use.gate.derive(one, one) == wanted)
    return use.low <= wanted <= use.high


def _silenced(many: Inputs, idle: Idle, chosen: Tensor) -> Inputs:
    """The piece with gates that say "nothing" at tokens that are not chosen."""

    def quiet(tensor: Tensor, number: float) -> Tensor:
        here = chosen.reshape(*chosen.shape, *[1] * (tensor.dim() - 3))
        return torch.where(here, tensor, number)

    gates = dict(many.gates)
    for name, number in idle.items():
        if name != "value":
            gates[f"0.{name}"] = quiet(gates[f"0.{name}"], number)
    value = quiet(many.value, 0.0) if "value" in idle else many.value
    return many._replace(value=value, gates=gates)
