"""Elementwise recurrence, one number of the state at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.architecture.vector import Vector
from miras.definition import Prepared
from miras.gate.complement import Complement
from miras.optimizer.implicit_diagonal import ImplicitDiagonal
from miras.plans import Plan
from miras.plans.channels import by_kernel as by_channels
from miras.plans.chunked import Carried, Piece, chunked
from miras.plans.entries import by_kernel
from miras.plans.layout import layout
from miras.plans.recurrence import recurrence
from miras.surprise import multipliers, step_sizes
from miras.token import Weights

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Scan(Plan):
    """Every number of the state has a recurrence of its own: x_t = keep_t x_{t-1} + write_t.

    Vectors under dot (keep = decay) or l2 (keep = decay (1 - step), or decay - step where the
    gradient is taken before the decay), with a normaliser, a bonus of the token itself, or pairs of
    entries that turn: then x and keep are complex numbers. Matrices under dot and the implicit
    diagonal step (keep = decay (1 - step k²)): their states are written out for a few tokens at
    once, and again on the way back, or stay in a kernel (`miras.kernels`), which is worth it where
    a value has one or two numbers, as in Mamba, or where every entry forgets for itself.

    Source: Mamba (arXiv 2312.00752), section 3.3; minGRU (arXiv 2410.01201), section 3; LRU (arXiv
    2303.06349), section 2; Longhorn (arXiv 2407.14207), section 3.2.
    """

    kind: Literal["scan"] = "scan"
    complexity: ClassVar[str] = "O(size of the state), elementwise"
    chunk: int = Field(default=16, ge=1, description="tokens whose matrices are written out")

    def fits(self, memory: "Memory") -> bool:
        architecture, bias, step = memory.architecture, memory.bias, memory.stepping
        if step is None or (step.every, step.chunk) != (1, 1) or memory.recurrent:
            return False
        vector = isinstance(architecture, Vector)
        kept = bias.residual and not isinstance(step, ImplicitDiagonal)
        # A pair of entries that turns is one complex number if it has one decay and one step.
        pairs = vector and architecture.rotation is not None
        apart = memory.retention.decays == "value" or (kept and step.step_axis == "value")
        return (
            (vector or architecture.plain)
            and not (pairs and apart)
            and architecture.linear
            and bias.plain
            and (not kept or (bias.linear and vector))
            and memory.retention.plain
            and memory.retention.identity_link
            and (step.plain or (isinstance(step, ImplicitDiagonal) and architecture.keyed))
            and step.model_copy(update={"read": "after"}).literal
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        # In the nanoseconds of `linear`.
        return 50.0 + 12.0 * value_dim * (key_dim if memory.architecture.keyed else 1)

    def derives(self, memory: "Memory") -> frozenset[str]:
        if memory.architecture.keyed:
            return frozenset()
        uses = (use for use in memory.uses if isinstance(use.gate, Complement) and use.low <= 0)
        return frozenset(use.name for use in uses)

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        position = state.position + inputs.key.shape[1]
        if not memory.architecture.keyed:
            fast = _in_place(memory, inputs, state.weights)
            output, weights = fast or _scanned(memory, _derived(memory, inputs), state.weights)
            return output, state._replace(position=position, weights=weights)
        ((leaf, start),) = state.weights.items()
        fast = by_kernel(memory, inputs, start)
        if fast is not None:
            return fast[0], state._replace(position=position, weights={leaf: fast[1]})

        def step(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
            now = {
                name: leaf if name in inputs.constants else leaf.transpose(1, 2)
                for name, leaf in piece.items()
            }
            query, key, value = (now.pop(name) for name in ("query", "key", "value"))
            part = Prepared(query, key, value, now, {})
            output, after = _scanned(memory, part, dict(zip(state.weights, carried, strict=True)))
            return output.transpose(1, 2), tuple(after.values())

        tokens = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | inputs.gates
        tokens = {name: leaf.transpose(1, 2) for name, leaf in tokens.items()}
        carried = tuple(state.weights.values())
        output, after = chunked(step, tokens, inputs.constants, carried, self.chunk)
        weights = dict(zip(state.weights, after, strict=True))
        return output.transpose(1, 2), state._replace(position=position, weights=weights)


def _in_place(memory: "Memory", inputs: Prepared, start: Weights) -> tuple[Tensor, Weights] | None:
    """Outputs and the last weights by a kernel, where it knows all that happens in a channel."""
    bias, step = memory.bias, memory.stepping
    known = bias.linear and not bias.uses() and step is not None and step.read == "after"
    return by_channels(memory, layout(memory, inputs), inputs, start, None) if known else None


def _derived(memory: "Memory", inputs: Prepared) -> Prepared:
    """With the gates that were left out."""
    missing = [use for use in memory.uses if use.gate.derived and use.name not in inputs.gates]
    gates = dict(inputs.gates)
    for use in missing:
        gates[use.name] = use.gate.derive(gates[use.name.replace("step", "decay")], None)
    return inputs._replace(gates=gates)


def _scanned(memory: "Memory", inputs: Prepared, start: Weights) -> tuple[Tensor, Weights]:
    """Outputs `[batch, time, heads, value_dim]`, and the weights after the last token."""
    architecture, gates = memory.architecture, inputs.gates | inputs.constants
    keeps, writes = _coefficients(memory, inputs, gates, start)
    turned = isinstance(architecture, Vector) and architecture.rotation is not None
    weights: Weights = {}
    for name, first in start.items():
        if turned and name == "vector":
            found = recurrence(keeps[name], _paired(writes[name]), _paired(first))
            weights[name] = _unpaired(found, first.shape[-1])
        else:
            weights[name] = recurrence(keeps[name], writes[name], first)
    seen = weights
    if memory.stepping is not None and memory.stepping.read == "before":
        seen = {
            name: torch.cat((start[name][:, None], leaf[:, :-1]), dim=1)
            for name, leaf in weights.items()
        }
    output = architecture.read(seen, inputs.query, gates)
    local = architecture.local(inputs.query, inputs.key, inputs.value, gates)
    output = architecture.let_out(output if local is None else output + local, gates)
    return output, {name: leaf[:, -1] for name, leaf in weights.items()}


def _coefficients(
    memory: "Memory", inputs: Prepared, gates: Mapping[str, Tensor], start: Weights
) -> tuple[Weights, Weights]:
    """What every number of the state is multiplied by at each token, and what it gains."""
    architecture, step, key, value = memory.architecture, memory.stepping, inputs.key, inputs.value
    assert step is not None
    ones = {name: value.new_ones([1] * (leaf.ndim + 1)) for name, leaf in start.items()}
    keeps = architecture.scale(ones, multipliers("decay", gates))
    sensitivity = architecture.sensitivity(dict.fromkeys(start, value), key, gates)
    steps = step_sizes(step, gates, sensitivity, key.shape[-1])
    if isinstance(step, ImplicitDiagonal):
        ((name, keep),) = keeps.items()
        ((axis, size),) = steps.items()
        moved = step.moved(size[..., None] if axis == "" else size, key)
        keep = keep * (1 - moved[..., :, None] * key.square()[..., None, :])
        return {name: keep}, {name: (moved * value)[..., :, None] * key[..., None, :]}
    sizes = architecture.scale(ones, steps)
    target = architecture.target(key, value)
    write = memory.bias.written(target, gates)
    if architecture.keyed:
        write = write[..., :, None] * key[..., None, :]
    if isinstance(architecture, Vector) and architecture.rotation is not None:
        keeps["vector"] = keeps["vector"] * _turning(gates["rotation"], value.shape[-1])
    if memory.bias.residual:
        for name, keep in keeps.items():
            size = sizes[name]
            keeps[name] = keep * (1 - size) if step.gradient_at == "retained" else keep - size
    parts = write.chunk(len(start), dim=-1) if len(start) > 1 else (write,)
    writes = {name: part * sizes[name] for name, part in zip(start, parts, strict=True)}
    return keeps, writes


def _turning(share: Tensor, size: int) -> Tensor:
    """What turns each pair of entries, and the odd last one if there is one, as complex numbers."""
    angle = F.pad(torch.pi * (2 * share[..., : size // 2] - 1), (0, size % 2))
    return torch.polar(torch.ones_like(angle), angle)


def _paired(x: Tensor) -> Tensor:
    """Entries i and i + d / 2 as real and imaginary part; an odd last one is real."""
    half = x.shape[-1] // 2
    first = torch.cat((x[..., :half], x[..., 2 * half :]), dim=-1)
    return torch.complex(first, F.pad(x[..., half : 2 * half], (0, x.shape[-1] % 2)))


def _unpaired(x: Tensor, size: int) -> Tensor:
    half = size // 2
    return torch.cat((x.real[..., :half], x.imag[..., :half], x.real[..., half:]), dim=-1)
