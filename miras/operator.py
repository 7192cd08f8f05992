"""The public operator: a memory over a sequence of queries, keys, values and gates."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, cast, overload

from jaxtyping import Float
from torch import Tensor

from miras import composition, definition
from miras.composition import AnyCell, AnyState, Composition, CompositionState
from miras.composition.either import start
from miras.composition.tree import tree
from miras.memory import Memory
from miras.part import SpecError
from miras.plans import Plan, plans
from miras.state import State
from miras.surprise import link


@cache
def _plans() -> dict[str, Plan]:
    return plans()


def choose(memory: Memory, key_dim: int, value_dim: int) -> str:
    """Name of the cheapest plan that is exact for this memory."""
    mapped = memory.architecture.features.width(key_dim)
    fitting = {name: plan for name, plan in _plans().items() if plan.fits(memory)}
    return min(fitting, key=lambda name: fitting[name].cost(memory, mapped, value_dim))


@overload
def run(
    memory: Memory,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gates: Mapping[str, Tensor],
    state: State | None = None,
    plan: str = "auto",
) -> tuple[Tensor, State]: ...


@overload
def run(
    memory: AnyCell,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gates: Mapping[str, Tensor],
    state: AnyState | None = None,
    plan: str = "auto",
) -> tuple[Tensor, AnyState]: ...


def run(
    memory: AnyCell,
    query: Float[Tensor, "batch time heads key_dim"],
    key: Float[Tensor, "batch time heads key_dim"],
    value: Float[Tensor, "batch time heads value_dim"],
    gates: Mapping[str, Tensor],
    state: AnyState | None = None,
    plan: str = "auto",
) -> tuple[Float[Tensor, "batch time heads value_dim"], AnyState]:
    """Run a memory, or a composition of several, over a piece of a sequence.

    `gates` holds every tensor that `memory.gates(heads, key_dim, value_dim)` names. `state` is what
    an earlier call returned, or left out at the start of a sequence. `plan` is `auto`, the name of
    a plan, or `definition`. Nothing is scaled or normalised but by the memory's own parts.

    Returns the outputs and the state after the last token. Raises SpecError if a gate is missing or
    has the wrong shape, or if the plan does not fit the memory.
    """
    batch, time, heads, key_dim = key.shape
    value_dim = value.shape[-1]
    _check(memory, gates, batch, time, heads, key_dim, value_dim)
    if state is None:
        state = cast(
            AnyState,
            start(memory, batch, heads, key_dim, value_dim, None, value.dtype, value.device),
        )
    if time == 0:
        return value, state
    if isinstance(memory, Composition):
        inputs = (query, key, value, gates, cast(CompositionState, state))
        return composition.run(memory, _engine(plan), *inputs)
    state = cast(State, state)
    if plan == "definition":
        return definition.run(memory, query, key, value, gates, state)
    name = choose(memory, key_dim, value_dim) if plan == "auto" else plan
    known = _plans()
    if name not in known:
        raise SpecError(f"there is no plan {name!r}: use auto, definition, {', '.join(known)}")
    if not known[name].fits(memory):
        fitting = ", ".join(other for other, one in known.items() if one.fits(memory))
        raise SpecError(f"plan {name} is not exact for this memory: use auto or one of {fitting}")
    tensors = (query, key, value, gates, state.position)
    inputs = definition.prepare(memory, *tensors, known[name].derives(memory))
    output, state = known[name].run(memory, inputs, state)
    return definition.finish(memory, output), state


def ask(
    memory: AnyCell,
    query: Float[Tensor, "batch time heads key_dim"],
    gates: Mapping[str, Tensor],
    state: AnyState,
    value_dim: int,
) -> Float[Tensor, "batch time heads value_dim"]:
    """What a memory answers as it stands; nothing is written, and nothing is kept.

    `gates` are those of the queries, as `run` takes them. A composition answers as its state is
    after the last token that it has read.
    """
    if isinstance(memory, Composition):
        inputs = (query, gates, cast(CompositionState, state), value_dim)
        return composition.ask(memory, _engine("auto"), *inputs)
    found = cast(State, state)
    batch, time = query.shape[:2]
    signals = memory.gates(query.shape[2], query.shape[3], value_dim)
    # Each query is put at the place of the next token: as if it were a sequence of its own.
    gates = {n: _alone(gate) if signals[n].per_token else gate for n, gate in gates.items()}
    query = _alone(query)
    value = query.new_zeros(*query.shape[:3], value_dim)
    inputs = definition.prepare(memory, query, query, value, gates, found.position)
    weights = found.exposed or link(memory, found.weights)
    weights, buffers = tree(_over_time, (weights, found.buffers))
    now = {n: gate.reshape(batch, time, *gate.shape[2:]) for n, gate in inputs.gates.items()}
    now |= inputs.constants
    mapped, key = (each.reshape(batch, time, *each.shape[2:]) for each in inputs[:2])
    aimed = memory.optimizer.seek(memory.architecture.aim(mapped, key, now), buffers, now)
    read = memory.architecture.let_out(memory.architecture.read(weights, aimed, now), now)
    return definition.finish(memory, read)


def _alone(tensor: Tensor) -> Tensor:
    return tensor.flatten(0, 1)[:, None]


def _over_time(leaf: Tensor) -> Tensor:
    return leaf.unsqueeze(1)


def _engine(plan: str) -> composition.Engine:
    return composition.Engine(cast(Any, partial(run, plan=plan)), cast(Any, ask))


def _check(
    memory: AnyCell,
    gates: Mapping[str, Tensor],
    batch: int,
    time: int,
    heads: int,
    key_dim: int,
    value_dim: int,
) -> None:
    wanted = memory.value_size(key_dim) if isinstance(memory, Memory) else None
    if isinstance(memory, Memory) and wanted is not None and wanted != value_dim:
        target = memory.bias.target
        asks = "residual: true" if target in ("value", "next_value") else f"target: {target}"
        cure = "residual: false" if asks == "residual: true" else "target: value"
        if memory.architecture.backwards:
            asks, cure = "an architecture that is read backwards", "architecture: matrix"
        raise SpecError(
            f"{asks} puts a key, of size {wanted}, beside a value, of size {value_dim}: give key"
            f" and value one size, or write {cure}"
        )
    signals = memory.gates(heads, key_dim, value_dim)
    for name, signal in signals.items():
        shape = (batch, time, *signal.shape) if signal.per_token else signal.shape
        if name not in gates:
            raise SpecError(
                f"gate {name} is missing: give a tensor {list(shape)}, {signal.meaning}"
            )
        if tuple(gates[name].shape) != shape:
            given = list(gates[name].shape)
            raise SpecError(f"gate {name} has shape {given}: give {list(shape)}")
    if unknown := set(gates) - set(signals):
        raise SpecError(
            f"unknown gate {', '.join(sorted(unknown))}: this memory takes"
            f" {', '.join(signals) or 'none'}"
        )
