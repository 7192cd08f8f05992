"""How the channels of a recurrent cell are laid out, and what they do at a token."""

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from miras.architecture.vector import Vector
from miras.definition import Prepared
from miras.gate import Use
from miras.gate.complement import Complement
from miras.gate.recurrent import Recurrent
from miras.kernels.cell import Gate, Program
from miras.optimizer.gd import GradientDescent
from miras.optimizer.implicit import Implicit

if TYPE_CHECKING:
    from miras.memory import Memory


class Layout(NamedTuple):
    """What stands in which row of a channel's numbers."""

    memory: "Memory"
    sigmoids: int  # the first rows are sums of gates with a sigmoid
    summed: tuple[str, ...]  # rows to which R h is added
    given: tuple[str, ...]  # rows that the input alone gives
    fixed: dict[str, Tensor]  # gates that are one number
    divisor: float  # of the step
    program: Program | None  # the same for a kernel, if it can say it


def layout(memory: "Memory", inputs: Prepared) -> Layout:
    """Which rows a memory has, those with a sigmoid first."""
    architecture, step = memory.architecture, memory.stepping
    assert isinstance(architecture, Vector) and step is not None
    seeing = [use for use in memory.uses if use.gate.recurrent]
    sigmoids = [use.name for use in seeing if _is_sigmoid(use)]
    summed = sigmoids + [use.name for use in seeing if not _is_sigmoid(use)]
    summed += ["candidate"] if architecture.recurrence else []
    free = (use for use in memory.uses if not use.gate.recurrent and use.gate.fixed is None)
    given = [use.name for use in free if use.name in inputs.gates]
    if architecture.reset is not None or not architecture.recurrence:
        given.append("value")
    given += ["bonus"] if architecture.bonus else []
    numbers = {use.name: use.gate.fixed for use in memory.uses if use.gate.fixed is not None}
    fixed = {name: inputs.value.new_tensor(number) for name, number in numbers.items()}
    divisor = float(inputs.key.shape[-1]) if step.scale == "key_dim" else 1.0
    program = _program(memory, summed, given, divisor)
    return Layout(memory, len(sigmoids), tuple(summed), tuple(given), fixed, divisor, program)


def _program(
    memory: "Memory", summed: list[str], given: list[str], divisor: float
) -> Program | None:
    """What a channel does as a kernel is told it, or None where there are no words for it."""
    architecture, step = memory.architecture, memory.stepping
    assert isinstance(architecture, Vector) and step is not None
    if not isinstance(step, GradientDescent | Implicit):
        return None
    gates, low = dict.fromkeys(("decay", "step", "reset", "output"), Gate()), 0.0
    for use in memory.uses:
        role = use.name.removesuffix("_value")
        resolved = use.name in given and not memory.recurrent
        if role not in gates or (use.low > 0 and role != "decay" and not resolved):
            return None
        low = use.low if role == "decay" and not resolved else low
        if use.gate.fixed is not None:
            gates[role] = Gate("fixed", number=use.gate.fixed)
        elif isinstance(use.gate, Recurrent):
            gates[role] = Gate(use.gate.activation, summed.index(use.name))
        elif resolved or (use.name in given and not use.gate.derived):
            gates[role] = Gate("given", given.index(use.name))
        elif isinstance(use.gate, Complement) and role == "step":
            gates[role] = Gate("complement")
        else:
            return None
    candidate = "plain"
    if architecture.recurrence:
        candidate = "tanh" if architecture.reset is None else "tanh with reset"
    return Program(
        gates=(gates["decay"], gates["step"], gates["reset"], gates["output"]),
        candidate=candidate,
        candidate_row=summed.index("candidate") if architecture.recurrence else 0,
        value_row=given.index("value") if "value" in given else 0,
        bonus_row=given.index("bonus") if architecture.bonus else -1,
        residual=memory.bias.residual,
        previous=step.gradient_at != "retained",
        implicit=isinstance(step, Implicit) and step.step_axis == "scalar",
        normaliser=architecture.normaliser,
        squash=architecture.squash,
        floor=low,
        divisor=divisor,
    )


def _is_sigmoid(use: Use) -> bool:
    return getattr(use.gate, "activation", None) == "sigmoid"


def rows(layout: Layout, inputs: Prepared) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The rows of both kinds `[batch, time, heads, value]` each, and all R side by side."""
    batch, time, heads, size = inputs.value.shape
    known = inputs.gates | inputs.constants | {"value": inputs.value}
    if "bonus" in known:
        known["bonus"] = known["bonus"].exp()
    known["candidate"] = known.get("recurrence_shift", inputs.value)

    def each(names: tuple[str, ...]) -> list[Tensor]:
        found: list[Tensor] = []
        for name in names:
            row = known[name]
            row = row[..., None] if row.ndim == 3 else row  # one number per head and token
            found.append(row.expand(batch, time, heads, size))
        return found

    if not layout.summed:
        return [], each(layout.given), inputs.value.new_empty(heads, size, 0)
    matrices = [
        known["recurrence" if name == "candidate" else f"{name}_recurrence"]
        for name in layout.summed
    ]
    matrices = [matrix.expand(heads, size, size).transpose(1, 2) for matrix in matrices]
    return each(layout.summed), each(layout.given), torch.cat(matrices, dim=-1)


def stacked(rows: list[Tensor], like: Tensor) -> Tensor:
    """Rows `[batch, time, heads, value]` as one tensor `[heads, time, batch, rows, value]`."""
    batch, time, heads, size = like.shape
    if not rows:
        return like.new_empty(heads, time, batch, 0, size)
    return torch.stack([row.permute(2, 1, 0, 3) for row in rows], dim=-2)


def token(
    layout: Layout, summed: Tensor, given: Tensor, states: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Output and new states of channels, from their rows `[..., rows, value]` and old states."""
    memory, step = layout.memory, layout.memory.stepping
    architecture = cast(Vector, memory.architecture)
    assert step is not None
    known = dict(zip(layout.given, given.unbind(-2), strict=True))
    known |= dict(zip(layout.summed, summed.unbind(-2), strict=True))
    opened = summed[..., : layout.sigmoids, :].sigmoid().unbind(-2)
    known |= dict(zip(layout.summed, opened, strict=False))
    gates = _gates(layout, known)

    value = known["value"] if "value" in known else known["candidate"]
    if architecture.reset is not None and architecture.recurrence:
        value = torch.addcmul(value, gates["reset"], known["candidate"])
    value = value.tanh() if architecture.recurrence else value
    raw = gates["step_value" if step.step_axis == "value" else "step"]
    size = raw if layout.divisor == 1 else raw / layout.divisor
    if step.step_axis == "scalar":
        size = step.effective(size, torch.ones_like(size))
    keep = gates.get("decay_value", gates.get("decay"))
    if memory.bias.residual:
        if keep is None:
            keep = 1 - size
        else:
            keep = keep * (1 - size) if step.gradient_at == "retained" else keep - size
    pairs = zip((size * value, size), states, strict=False)
    states = [
        write + old if keep is None else torch.addcmul(write, keep, old) for write, old in pairs
    ]
    read = states
    if architecture.bonus:
        strength = raw * known["bonus"]
        pairs = zip((strength * value, strength), states, strict=False)
        read = [state + more for more, state in pairs]
    output = read[0] / read[1].clamp_min(1e-12) if architecture.normaliser else read[0]
    output = output.tanh() if architecture.squash else output
    return gates["output"] * output if architecture.output is not None else output, states


def _gates(layout: Layout, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """All gates as numbers, as in `Memory.resolve`."""
    gates: dict[str, Tensor] = {}
    for use in layout.memory.uses:
        if use.name in layout.fixed:
            gate = layout.fixed[use.name]
        elif use.gate.derived:
            decay = gates[use.name.replace("step", "decay")]
            gate = use.gate.derive(decay, known.get(use.name))
        elif use.gate.recurrent and not _is_sigmoid(use):
            gate = use.gate.activate(known[use.name])
        else:
            gate = known[use.name]
        gates[use.name] = gate.clamp_min(use.low) if use.low > 0 else gate
    return gates
