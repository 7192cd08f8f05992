"""The meaning of every memory: the recurrence, token by token.

Slow, literal, differentiable, in any floating type. Every fast plan must compute this function:
outputs, gradients and final state. `prepare`, `recur` and `finish` are its three pieces; plans
reuse the first and the last, which have no recurrence.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor

from miras.memory import Memory
from miras.optimizer import Stepping
from miras.state import State, Weights

Gates = Mapping[str, Tensor]
Pull = Callable[[Tensor], tuple[Weights]]


class Prepared(NamedTuple):
    """What the recurrence itself sees."""

    query: Tensor  # [batch, time, heads, mapped key_dim]
    key: Tensor
    value: Tensor  # [batch, time, heads, value_dim], one more with a normaliser
    gates: dict[str, Tensor]  # resolved, unless the memory is recurrent
    constants: dict[str, Tensor]  # gates without batch and time


def run(
    memory: Memory, query: Tensor, key: Tensor, value: Tensor, gates: Gates, state: State
) -> tuple[Tensor, State]:
    """Outputs `[batch, time, heads, value_dim]` and the state after the last token."""
    inputs = prepare(memory, query, key, value, gates, state.position)
    output, state = recur(memory, inputs, state)
    return finish(memory, output), state


def recur(memory: Memory, inputs: Prepared, state: State) -> tuple[Tensor, State]:
    """The loop over tokens between `prepare` and `finish`."""
    outputs: list[Tensor] = []
    for t in range(inputs.query.shape[1]):
        now = {name: gate[:, t] for name, gate in inputs.gates.items()} | inputs.constants
        token = (inputs.query[:, t], inputs.key[:, t], inputs.value[:, t])
        output, state = step(memory, *token, now, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


def prepare(
    memory: Memory, query: Tensor, key: Tensor, value: Tensor, gates: Gates, position: int
) -> Prepared:
    """Map keys, split gates from constants, append the normaliser's channel of ones."""
    heads, key_dim, value_dim = key.shape[2], key.shape[3], value.shape[3]
    signals = memory.gates(heads, key_dim, value_dim)
    constants = {name: gates[name] for name, signal in signals.items() if not signal.per_token}
    tokens = {name: gates[name] for name, signal in signals.items() if signal.per_token}
    places = torch.arange(position, position + key.shape[1], device=key.device)
    features = memory.architecture.features
    if not features.needs_decay:
        query, key = features.map(query, key, tokens, places)
    if not memory.recurrent:
        tokens = memory.resolve(tokens, key, value)
    if features.needs_decay:
        query, key = features.map(query, key, tokens, places)
    if memory.architecture.normalised:
        value = torch.cat((value, torch.ones_like(value[..., :1])), dim=-1)
    return Prepared(query, key, value, tokens, constants)


def finish(memory: Memory, output: Tensor) -> Tensor:
    """Divide by the normaliser's channel, if there is one."""
    if not memory.architecture.normalised:
        return output
    return output[..., :-1] / (output[..., -1:] + 1e-6)


def step(
    memory: Memory, query: Tensor, key: Tensor, value: Tensor, gates: Gates, state: State
) -> tuple[Tensor, State]:
    """One token: query, key `[batch, heads, key_dim]`, value `[batch, heads, value_dim]`."""
    before = state.output.get("output", value)
    if memory.recurrent:
        gates = memory.resolve(gates, key, value, before)
    value = memory.architecture.candidate(value, gates, before)
    optimizer = memory.stepping
    if optimizer is None:
        return store(memory, query, key, value, gates, state)

    anchor = state.anchor
    if anchor and state.position % optimizer.chunk == 0:
        anchor = link(memory, state.weights)
    retained = memory.architecture.scale(state.weights, multipliers("decay", gates))
    gradient = surprise(memory, where(memory, retained, anchor, state), key, value, gates)
    change, buffers = optimizer.update(gradient, state.buffers, gates)
    weights = {name: retained[name] + change[name] for name in retained}

    current, exposed = link(memory, weights), state.exposed
    if exposed and (state.position + 1) % optimizer.every == 0:
        exposed = current
    output = memory.architecture.read(exposed or current, query, gates)
    after = {"output": output} if state.output else {}
    return output, State(state.position + 1, weights, buffers, anchor, exposed, after)


def where(memory: Memory, retained: Weights, anchor: Weights, state: State) -> Weights:
    """The weights at which the gradient of this token is taken."""
    if anchor:
        return anchor
    if state.exposed:
        return state.exposed
    stepping = memory.stepping
    previous = stepping is not None and stepping.gradient_at != "retained"
    return link(memory, state.weights if previous else retained)


def surprise(memory: Memory, weights: Weights, key: Tensor, value: Tensor, gates: Gates) -> Weights:
    """Step size times the gradient of the loss of one token: a vector-Jacobian product."""
    optimizer = memory.stepping
    assert optimizer is not None

    def predict(at: Weights) -> Tensor:
        return memory.architecture.predict(at, key, gates)

    prediction, pull = cast(tuple[Tensor, Pull], torch.func.vjp(predict, weights))
    sensitivity = memory.architecture.sensitivity(weights, key, gates)
    steps = step_sizes(optimizer, gates, sensitivity, key.shape[-1])
    limit = guard(memory, steps, sensitivity)
    (gradient,) = pull(memory.bias.error(prediction, value, gates, limit))
    return memory.architecture.scale(gradient, steps)


def step_sizes(
    optimizer: Stepping, gates: Gates, sensitivity: Tensor, key_dim: int
) -> dict[str, Tensor]:
    """The steps that are taken, by axis (`""` is a scalar per head)."""
    divisor = {"none": 1, "chunk": optimizer.chunk, "key_dim": key_dim}[optimizer.scale]
    steps = {axis: size / divisor for axis, size in multipliers("step", gates).items()}
    if "" in steps:
        steps[""] = optimizer.effective(steps[""], sensitivity)
    return steps


def guard(memory: Memory, steps: Mapping[str, Tensor], sensitivity: Tensor) -> Tensor | None:
    """Largest factor on a residual before an explicit step overshoots: 1 / (step * |key|^2).

    All errors at the same weights together may carry a prediction to its target, not each.
    """
    if not memory.bias.guarded or memory.stepping is None:
        return None
    size = sensitivity[..., None]
    for axis, factor in steps.items():
        # A step along the key shortens the key itself; its largest entry bounds that from above.
        size = size * (factor if axis == "value" else _widest(axis, factor))
    return 1 / (memory.stepping.span * size.clamp_min(torch.finfo(size.dtype).eps))


def _widest(axis: str, factor: Tensor) -> Tensor:
    return factor[..., None] if axis == "" else factor.amax(-1, keepdim=True)


def multipliers(role: str, gates: Gates) -> dict[str, Tensor]:
    """The gates of a role by axis: `decay_key` under `key`, `decay` under the empty name."""
    names = {"": role, "key": f"{role}_key", "value": f"{role}_value"}
    return {axis: gates[name] for axis, name in names.items() if name in gates}


def link(memory: Memory, accumulator: Weights) -> Weights:
    """The weights that an accumulator stands for."""
    return {name: memory.retention.link(leaf) for name, leaf in accumulator.items()}


def store(
    memory: Memory, query: Tensor, key: Tensor, value: Tensor, gates: Gates, state: State
) -> tuple[Tensor, State]:
    """One token of a memory of pairs: forget a little of all, add the pair, evict, read."""
    kept = dict(state.weights)
    if "decay" in gates:
        log_decay = gates["decay"].clamp_min(torch.finfo(key.dtype).tiny).log()
        kept["log_kept"] = kept["log_kept"] + log_decay[..., None]
    size = getattr(memory.retention, "size", None)
    pairs = memory.architecture.store(kept, key, value, size)
    output = memory.architecture.read(pairs, query, gates)
    return output, state._replace(position=state.position + 1, weights=pairs)
