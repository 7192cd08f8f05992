"""The public operator: a memory over a sequence of queries, keys, values and gates."""

from collections.abc import Mapping
from functools import cache

from jaxtyping import Float
from torch import Tensor

from miras import definition
from miras.memory import Memory
from miras.part import SpecError
from miras.plans import Plan, plans
from miras.state import State, start


@cache
def _plans() -> dict[str, Plan]:
    return plans()


def choose(memory: Memory, key_dim: int, value_dim: int) -> str:
    """Name of the cheapest plan that is exact for this memory."""
    mapped = memory.architecture.features.width(key_dim)
    fitting = {name: plan for name, plan in _plans().items() if plan.fits(memory)}
    return min(fitting, key=lambda name: fitting[name].cost(memory, mapped, value_dim))


def run(
    memory: Memory,
    query: Float[Tensor, "batch time heads key_dim"],
    key: Float[Tensor, "batch time heads key_dim"],
    value: Float[Tensor, "batch time heads value_dim"],
    gates: Mapping[str, Tensor],
    state: State | None = None,
    plan: str = "auto",
) -> tuple[Float[Tensor, "batch time heads value_dim"], State]:
    """Run a memory over a piece of a sequence.

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
        state = start(memory, batch, heads, key_dim, value_dim, None, value.dtype, value.device)
    if time == 0:
        return value, state
    if plan == "definition":
        return definition.run(memory, query, key, value, gates, state)
    name = choose(memory, key_dim, value_dim) if plan == "auto" else plan
    known = _plans()
    if name not in known:
        raise SpecError(f"there is no plan {name!r}: use auto, definition, {', '.join(known)}")
    if not known[name].fits(memory):
        fitting = ", ".join(other for other, one in known.items() if one.fits(memory))
        raise SpecError(f"plan {name} is not exact for this memory: use auto or one of {fitting}")
    inputs = definition.prepare(memory, query, key, value, gates, state.position)
    output, state = known[name].run(memory, inputs, state)
    return definition.finish(memory, output), state


def _check(
    memory: Memory,
    gates: Mapping[str, Tensor],
    batch: int,
    time: int,
    heads: int,
    key_dim: int,
    value_dim: int,
) -> None:
    mapped = memory.architecture.features.width(key_dim)
    if getattr(memory.architecture, "residual", False) and mapped != value_dim:
        raise SpecError(
            f"residual: true adds the key, of size {mapped}, to the answer, of size {value_dim}:"
            " give key and value one size, or write residual: false"
        )
    signals = memory.gates(heads, key_dim, value_dim)
    for name, signal in signals.items():
        wanted = (batch, time, *signal.shape) if signal.per_token else signal.shape
        if name not in gates:
            raise SpecError(
                f"gate {name} is missing: give a tensor {list(wanted)}, {signal.meaning}"
            )
        if tuple(gates[name].shape) != wanted:
            given = list(gates[name].shape)
            raise SpecError(f"gate {name} has shape {given}: give {list(wanted)}")
    if unknown := set(gates) - set(signals):
        raise SpecError(
            f"unknown gate {', '.join(sorted(unknown))}: this memory takes"
            f" {', '.join(signals) or 'none'}"
        )
