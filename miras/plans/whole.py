"""A matrix memory over a whole sequence in one call of a compiled kernel.

The same algorithm as in `miras.plans.outer`, tokens before heads. Where no kernel can be had,
nothing but time changes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from miras.bias import Bias
from miras.definition import Prepared
from miras.kernels import fla, outer
from miras.kernels.error import Compiled
from miras.optimizer import Stepping
from miras.plans.chunked import Piece, grouped
from miras.plans.rows import Frame, asks_early, each_of, first_of, in_chunk, rows_of
from miras.plans.span import heads_first
from miras.token import Buffers

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


def fits(memory: "Memory", inputs: Prepared) -> bool:
    """Whether the kernel computes this memory, one that `outer` fits, and can be had."""
    architecture, step, retention = memory.architecture, memory.stepping, memory.retention
    bias = memory.bias
    if step is None or (step.carries and not _rolls(memory)):
        return False
    if not (
        step.plain or step.carries or step.erases or step.each_write or step.directed or step.trails
    ):
        return False
    if architecture.turns or architecture.backwards or retention.chained:
        return False
    if retention.decays not in (None, "scalar", "key"):
        return False
    if bias.residual and step.step_axis in ("value", "both"):
        return False
    if curved(bias):
        simple = len(bias.uses()) <= 1 and not bias.constants(1, 1, 1) and not step.erases
        if retention.removes or not simple or bias.entrywise() is None:
            return False
    reading = _reading(memory, looks=bias.residual)
    return outer.available(reading, inputs.value) or _borrowed(memory, reading, inputs)


def _rolls(memory: "Memory") -> bool:
    """Whether there is a momentum as the kernel has it: one number per token for all."""
    step, retention = memory.stepping, memory.retention
    assert step is not None
    others = step.each_write or step.erases or step.directed or step.trails
    if others or retention.removes:
        return False
    return step.heavy_ball and retention.decays in (None, "scalar")


def _borrowed(memory: "Memory", reading: outer.Reading, inputs: Prepared) -> bool:
    step = memory.stepping
    if step is None or not step.plain or memory.retention.removes:
        return False
    return fla.available(reading, inputs.value, inputs.key.shape[3])


def _reading(memory: "Memory", looks: bool) -> outer.Reading:
    bias, early = memory.bias, asks_early(memory)
    if not curved(bias) or bias.entrywise() is None:
        return outer.Reading(early, looks)
    return outer.Reading(early, looks, compiled(bias))


def curved(bias: Bias) -> bool:
    """Whether an error is of the answer, and no linear function of it."""
    return bias.residual and not bias.linear


def compiled(bias: Bias) -> Compiled:
    """An error map that says how it goes entry by entry, for kernels."""
    entry, names = bias.entrywise(), [use.name for use in bias.uses()]
    assert entry is not None

    def error(answer: Tensor, value: Tensor, gate: Tensor | None, limit: Tensor | None) -> Tensor:
        gates: dict[str, Tensor] = {} if gate is None else dict.fromkeys(names, gate)
        return bias.error(answer, value, gates, None if limit is None else limit[..., None])

    return Compiled(*entry, error)


def run(memory: "Memory", inputs: Prepared, state: "State", looks: bool) -> tuple[Tensor, "State"]:
    """Raw outputs and the state after the last token."""
    architecture, step, bias = memory.architecture, memory.stepping, memory.bias
    assert step is not None
    query, key, value = inputs[:3]
    tokens = {"query": query, "key": key, "value": value, **inputs.gates, **inputs.constants}
    directions, buffers = _directions(step, tokens, state.buffers)
    rows = rows_of(memory, step, tokens, directions, time=1)
    address = None if rows.address is rows.direction or not looks else rows.address
    count = rows.direction.shape[1] // key.shape[1]
    decay = tokens.get("decay", tokens.get("decay_key"))
    ((name, start),) = state.weights.items()
    asked, along = architecture.aim(query, key, tokens), rows.direction
    sums, reading = state.buffers.get("momentum"), _reading(memory, looks)
    if sums and not reading.early:  # what is asked has faded, and nothing has joined it yet
        reading = reading._replace(early=True)
        if looks and decay is not None:
            address = rows.address * decay[..., None]
    frame = Frame.of(tokens["rotation"], time=1) if architecture.turns else None
    if frame is not None:
        asked, along = frame.entered(asked, 1), frame.entered(along, count)
        address = None if address is None else frame.entered(address, count)
    first: Tensor | None = None
    if step.read == "before":  # what the next token asks is read after this one
        first = (start @ asked[:, 0, :, :, None])[..., 0]
        asked = torch.cat((asked[:, 1:], torch.zeros_like(asked[:, :1])), dim=1)
    output, end, late = (fla.outer if _borrowed(memory, reading, inputs) else outer.outer)(
        reading,
        outer.Tokens(
            query=each_of(asked, count, time=1),
            direction=along,
            size=rows.size,
            address=address,
            value=rows.value if rows.step is None else rows.value * rows.step,
            decay=None if decay is None else first_of(decay, count, time=1),
            start=start,
            gate=next((rows.gates[use.name] for use in bias.uses()), None),
            limit=None if rows.limit is None else rows.limit[..., 0],
            carry=tokens["momentum"] if sums else None,
            sums=sums[name] if sums else None,
        ),
    )
    end = end if frame is None else frame.left(end)
    if late is not None:
        buffers = buffers | {"momentum": {name: late}}
    output = output[:, count - 1 :: count]
    if first is not None:
        output = torch.cat((first[:, None], output[:, :-1]), dim=1)
    local = architecture.local(query, key, value, tokens)
    output = architecture.let_out(output if local is None else output + local, tokens)
    position = state.position + key.shape[1]
    return output, state._replace(position=position, weights={name: end}, buffers=buffers)


def _directions(
    step: Stepping, tokens: Mapping[str, Tensor], buffers: Buffers
) -> tuple[Tensor | None, Buffers]:
    """What tokens are written along, if not their keys, and the buffers that this takes."""
    if not step.directed:
        return None, buffers
    names = ["key", *(use.name for use in step.uses())]
    given = {name: heads_first(tokens[name]) for name in names}

    def directions(piece: Piece, now: Buffers) -> tuple[Tensor, Buffers]:
        found, after = step.directions(piece["key"], piece, now, in_chunk)
        return found, now | after

    found, buffers = grouped(directions, given, {}, buffers, outer.CHUNK)
    return found.transpose(1, 2), buffers
