"""A deep memory over whole chunks in one call of a compiled kernel.

The same algorithm as in `miras.plans.frozen`, tokens before heads. Where no kernel can be had,
nothing but time changes.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from miras.bias import Bias
from miras.definition import Prepared
from miras.kernels import network
from miras.optimizer import Stepping
from miras.plans.whole import compiled, curved
from miras.surprise import step_sizes
from miras.token import Weights

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State

Run = Callable[["Memory", Prepared, "State"], tuple[Tensor, "State"]]

LONGEST = 128
"""Tokens of the longest chunk: its pairs are written out."""


def fits(memory: "Memory", inputs: Prepared, state: "State") -> bool:
    """Whether a chunk starts here and there is a kernel for this memory, one that `frozen` fits."""
    step, bias, retention = memory.stepping, memory.bias, memory.retention
    layers = memory.architecture.network
    if step is None or layers is None or layers.gated:
        return False
    if not 1 < step.chunk <= LONGEST or step.every > 1 or not (step.plain or step.heavy_ball):
        return False
    if step.step_axis != "scalar" or type(step).effective is not Stepping.effective:
        return False
    if not retention.identity_link or retention.decays not in (None, "scalar"):
        return False
    if bias.window > 1 or bias.target in ("next_value", "self_generated") or bias.guarded:
        return False
    simple = len(bias.uses()) <= 1 and not bias.constants(1, 1, 1)
    if curved(bias) and not (simple and bias.entrywise() is not None):
        return False
    if _missing(step, state) >= inputs.key.shape[1]:
        return False
    return network.available(_form(memory, inputs), inputs.value)


def _missing(step: Stepping, state: "State") -> int:
    """Tokens until a chunk starts."""
    return -state.position % step.chunk


def _form(memory: "Memory", inputs: Prepared) -> network.Form:
    step, layers = memory.stepping, memory.architecture.network
    assert step is not None and layers is not None
    leaves = memory.architecture.leaves(inputs.key.shape[3], inputs.value.shape[3])
    shapes = [leaves[f"layer_{index}"].shape for index in range(layers.depth)]
    return network.Form(
        sizes=(shapes[0][1], *(rows for rows, _ in shapes)),
        activation=layers.activation,
        norm=layers.norm,
        offset=layers.offset,
        residual=layers.residual,
        looks=memory.bias.residual,
        chunk=step.chunk,
        compiled=compiled(memory.bias) if curved(memory.bias) else None,
    )


def _gate(bias: Bias, gates: Mapping[str, Tensor]) -> Tensor | None:
    return next((gates[use.name] for use in bias.uses()), None) if curved(bias) else None


def _cut(inputs: Prepared, first: int, last: int | None = None) -> Prepared:
    """Some of the tokens."""
    query, key, value = (x[:, first:last] for x in inputs[:3])
    gates = {name: gate[:, first:last] for name, gate in inputs.gates.items()}
    return Prepared(query, key, value, gates, inputs.constants)


def run(
    memory: "Memory", inputs: Prepared, state: "State", elsewhere: Run
) -> tuple[Tensor, "State"]:
    """Raw outputs and the state after the last token; the rest of a chunk runs `elsewhere`."""
    step = memory.stepping
    assert step is not None
    if (first := _missing(step, state)) == 0:
        return _chunks(memory, inputs, state)
    before, state = elsewhere(memory, _cut(inputs, 0, first), state)
    output, state = _chunks(memory, _cut(inputs, first), state)
    return torch.cat((before, output), dim=1), state


def _chunks(memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
    form = _form(memory, inputs)
    step, gates, constants = memory.stepping, inputs.gates, inputs.constants
    assert step is not None
    size = step_sizes(step, gates | constants, inputs.key[..., 0], inputs.key.shape[-1])[""]
    sums = state.buffers.get("momentum")
    value = inputs.value
    if not memory.bias.residual:
        value = memory.bias.written(value, gates | constants)
    found, anchor, end, late = network.network(
        form,
        network.Tokens(
            inputs.query,
            inputs.key,
            value,
            step=size.expand(inputs.key.shape[:3]),
            decay=gates.get("decay"),
            carry=gates["momentum"] if sums else None,
            gain=constants.get("norm_gain"),
            shift=constants.get("norm_shift"),
            start=_together(state.weights, form),
            sums=_together(sums, form) if sums else None,
            gate=_gate(memory.bias, gates),
        ),
    )
    buffers = state.buffers
    if late is not None:
        buffers = buffers | {"momentum": _apart(late, form, state.weights)}
    anchor, weights = (_apart(packed, form, state.weights) for packed in (anchor, end))
    position = state.position + inputs.key.shape[1]
    return found, state._replace(weights=weights, anchor=anchor, buffers=buffers, position=position)


def _together(weights: Mapping[str, Tensor], form: network.Form) -> Tensor:
    """Matrices one after the other `[batch, heads, entries]`, the offset a column of the last."""
    matrices = [weights[f"layer_{index}"] for index in range(len(form.shapes))]
    if form.offset:
        matrices[-1] = torch.cat((matrices[-1], weights["offset"][..., None]), dim=-1)
    return torch.cat([matrix.flatten(2) for matrix in matrices], dim=2)


def _apart(packed: Tensor, form: network.Form, like: Mapping[str, Tensor]) -> Weights:
    found: Weights = {}
    first = 0
    for index, (rows, columns) in enumerate(form.shapes):
        piece = packed[:, :, first : first + rows * columns]
        found[f"layer_{index}"] = piece.reshape(*piece.shape[:2], rows, columns)
        first += rows * columns
    if form.offset:
        name = f"layer_{len(form.shapes) - 1}"
        found["offset"] = found[name][..., -1]
        found[name] = found[name][..., :-1]
    return {name: found[name] for name in like}
