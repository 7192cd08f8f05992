"""A memory: four choices that fit together, and how a layer is usually built around them."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.architecture import AnyArchitecture
from miras.bias import AnyBias
from miras.bias.l2 import L2
from miras.gate import Signal, Use, Width
from miras.optimizer import AnyOptimizer, Stepping
from miras.optimizer.gd import GradientDescent
from miras.part import IncompatibleParts, Part
from miras.retention import AnyRetention
from miras.retention.none import NoRetention
from miras.rules import RULES, Verdict

SLOTS = ("architecture", "bias", "retention", "optimizer")
"""The four choices of a memory."""


class Wiring(Part):
    """How a layer feeds this memory, where that differs from the model's own shell."""

    heads: int | Literal["channels"] | None = Field(
        default=None, description="number of heads; `channels`: one head per channel of the model"
    )
    key_dim: int | None = Field(default=None, ge=1, description="size of a key; dim / heads if out")
    value_dim: int | None = Field(default=None, ge=1, description="size of a value; dim / heads")
    shared_keys: bool = Field(default=False, description="one query and key for all heads")
    value: Literal["none", "silu", "zscore"] = Field(
        default="none",
        description="of the value: silu, or mean 0 and variance 1 over its entries (zscore)",
    )
    bias: bool = Field(default=False, description="a bias in projections to and from the memory")
    skip: bool = Field(default=False, description="add a learned multiple of the value to the read")
    mix: bool = Field(
        default=False, description="answer g y + (1 - g) v, g the step of the token, y its read"
    )
    norm: bool = Field(default=True, description="RMS norm of each head's read")
    output_gate: Literal["none", "silu", "sigmoid"] = Field(
        default="none", description="multiply the read by a gate of the input"
    )


class Memory(Part):
    """Architecture x attentional bias x retention gate x optimizer: one sequence memory."""

    name: str = ""
    paper: str = Field(default="", description="where it was published")
    equation: str = Field(default="", description="its update, as the paper writes it")
    departures: tuple[str, ...] = Field(default=(), description="where this differs from the paper")
    architecture: AnyArchitecture
    bias: AnyBias = L2()
    retention: AnyRetention = NoRetention()
    optimizer: AnyOptimizer = GradientDescent()
    wiring: Wiring = Wiring()

    @model_validator(mode="after")
    def _parts_fit(self) -> "Memory":
        for rule in RULES:
            if rule.verdict is Verdict.refuse and (sentence := rule.check(self)):
                raise IncompatibleParts(f"{sentence} [{rule.name}]")
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """Legal combinations that are known to behave badly, one sentence each."""
        warned = ((rule, rule.check(self)) for rule in RULES if rule.verdict is Verdict.warn)
        return tuple(f"{sentence} [{rule.name}]" for rule, sentence in warned if sentence)

    @property
    def stepping(self) -> Stepping | None:
        """The optimizer, if it takes gradient steps."""
        return self.optimizer if isinstance(self.optimizer, Stepping) else None

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """All gates, retention first: derived gates come after what they are derived from."""
        parts = (self.retention, self.optimizer, self.bias, self.architecture)
        return tuple(use for part in parts for use in part.uses())

    @property
    def recurrent(self) -> bool:
        """Whether gates or values depend on the previous output: then tokens come one by one."""
        return self.architecture.recurrent or any(use.gate.recurrent for use in self.uses)

    @property
    def plain(self) -> bool:
        """Whether decay, error along the key, step and read say all that happens at a token.

        Fast plans know no more than that; they ask the parts for the rest.
        """
        parts = (self.architecture.plain, self.bias.plain, self.retention.plain)
        return all(parts) and self.optimizer.literal

    def value_size(self, key_dim: int) -> int | None:
        """The size that values must have with keys of this size, where only one will do."""
        architecture = self.architecture
        added = getattr(architecture, "residual", False) or architecture.autoassociative
        added = added or architecture.backwards
        compared = self.bias.target not in ("value", "next_value")
        return self.architecture.features.width(key_dim) if added or compared else None

    def widths(
        self, key_dim: int, value_dim: int, unmapped: int | None = None
    ) -> dict[Width, tuple[int, ...]]:
        """Shape of one head's gate by its width; `key_dim` is the size of a mapped key."""
        slots = self.architecture.slots
        turned = key_dim if self.architecture.keyed else value_dim
        return {
            "": (),
            "key": (key_dim,),
            "value": (value_dim,),
            "slot": (slots,),
            "address": (self.architecture.lookups,),
            "place": (self.architecture.lookups * slots,),
            "pair": (max(1, turned // 2),),
            "unmapped": (unmapped or key_dim,),
        }

    def gates(self, heads: int, key_dim: int, value_dim: int) -> dict[str, Signal]:
        """Every tensor that `miras.run` takes in `gates`, with shape and range.

        A per-token gate has the shape `[batch, time, *shape]`, a constant has `shape` itself. A
        gate that depends on the previous output enters as what the input adds inside its sigmoid,
        with the matrix for the previous output beside it.
        """
        mapped = self.architecture.features.width(key_dim)
        widths = self.widths(mapped, value_dim, key_dim)
        infinite = float("inf")
        found: list[Signal] = []
        for use in self.uses:
            if not use.gate.own:
                continue
            width = widths[use.width]
            shape = (heads, *width)
            if use.gate.recurrent:
                rows = width or (1,)
                square = (heads, *rows, value_dim)
                meaning = "matrix from the previous output to this gate"
                matrix = f"{use.name}_recurrence"
                found.append(Signal(use.name, shape, -infinite, infinite, True, use.meaning))
                std = value_dim**-0.5
                found.append(Signal(matrix, square, -infinite, infinite, False, meaning, std=std))
            else:
                found.append(Signal(use.name, shape, use.low, use.high, True, use.meaning))
        for part in (self.architecture, self.bias, self.retention, self.optimizer):
            found += part.constants(heads, mapped, value_dim)
        slots = self.architecture.leaves(mapped, value_dim).get("slots")
        if self.stepping and slots and len(slots.shape) == 2:
            found += self.stepping.dream.constants(heads, *slots.shape)
        found += self.architecture.features.constants(heads, key_dim)
        return {signal.name: signal for signal in found}

    def resolve(
        self,
        gates: Mapping[str, Tensor],
        key: Tensor,
        value: Tensor,
        output: Tensor | None = None,
        without: Collection[str] = (),
    ) -> dict[str, Tensor]:
        """All gates as numbers: fixed and derived ones filled in, recurrent ones computed.

        `key [..., heads, key_dim]` and `value` give the shapes; `output [batch, heads, value_dim]`
        is the previous output, which recurrent gates need. Gates that are named in `without` are
        left out.
        """
        known = dict(gates)
        for use in self.uses:
            if use.name in without:
                continue
            own = gates.get(use.name)
            if use.gate.fixed is not None:
                width = self.widths(key.shape[-1], value.shape[-1])[use.width]
                gate = value.new_full((*value.shape[:-1], *width), use.gate.fixed)
            elif use.gate.derived:
                gate = use.gate.derive(known[use.name.replace("step", "decay")], own)
            elif use.gate.recurrent and output is not None and own is not None:
                seen = torch.einsum("hrc,bhc->bhr", gates[f"{use.name}_recurrence"], output)
                gate = use.gate.activate(own + (seen if use.width else seen[..., 0]))
            elif own is None:
                raise KeyError(use.name)
            else:
                gate = own
            known[use.name] = gate.clamp_min(use.low) if use.low > 0 else gate
        return known
