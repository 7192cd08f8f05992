"""What a token tells a memory that it did not know: step size times gradient of the loss.

The half of the definition that looks at one token; `miras.definition` has the recurrence.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from miras import info
from miras.memory import Memory
from miras.optimizer import Stepping
from miras.state import State, carried
from miras.token import Buffers, Token, Weights

Gates = Mapping[str, Tensor]
Pairs = Sequence[tuple[float, Token]]
"""What is learned at one token: weights in the loss, and tokens with key, value and gates."""


SHOWN = ("residual", "prediction", "address", "step")
"""What a pair shows to optimizer and retention, beside its gradient."""


def pairs(memory: Memory, token: Token, buffers: Buffers) -> tuple[Pairs, Buffers]:
    """The pairs that are learned at this token: its own, with past ones, or the one before."""
    bias, names = memory.bias, [use.name for use in carried(memory)]
    if bias.plain or (bias.target == "self_generated" and bias.window == 1):
        return [(1.0, token)], buffers
    own = {"key": token.key} | {name: token.gates[name] for name in names}
    if bias.target == "next_value":
        waiting = buffers["previous"]
        learned = [(1.0, _of(token, waiting))] if token.position else []
        return learned, buffers | {"previous": own}
    past = buffers["window"]
    count = past["key"].shape[2]
    found: list[tuple[float, Token]] = [(1.0, token)]
    for back in range(1, count + 1):
        then = {name: leaf[:, :, count - back] for name, leaf in past.items()}
        found.append((bias.discount**back, _of(token, then)))
    own["value"] = token.value
    kept = {
        name: torch.cat((past[name], leaf[:, :, None]), dim=2)[:, :, 1 - bias.window :]
        for name, leaf in own.items()
    }
    return found, buffers | {"window": kept}


def _of(token: Token, then: Weights) -> Token:
    """A token with the key, the gates and, if it had come, the value of an earlier one."""
    gates = dict(token.gates) | {n: x for n, x in then.items() if n not in ("key", "value")}
    return token._replace(key=then["key"], value=then.get("value", token.value), gates=gates)


def where(memory: Memory, retained: Weights, state: State) -> Weights:
    """The weights at which the gradient of this token is taken."""
    if state.anchor:
        return state.anchor
    if state.exposed:
        return state.exposed
    stepping = memory.stepping
    previous = stepping is not None and stepping.gradient_at != "retained"
    return link(memory, state.weights if previous else retained)


def surprise(
    memory: Memory, weights: Weights, learned: Pairs, token: Token
) -> tuple[Weights, Token]:
    """The summed gradients of some pairs, and what the last of them showed beside.

    No gradient where there is no pair to learn.
    """
    total: Weights = {}
    for share, pair in reversed(learned):
        gradient, pair = _of_pair(memory, weights, pair)
        shown = {name: getattr(pair, name) for name in SHOWN}
        token = token._replace(**shown)
        for name, leaf in gradient.items():
            leaf = leaf if share == 1 else share * leaf
            total[name] = total[name] + leaf if name in total else leaf
    return total, token


def _of_pair(memory: Memory, weights: Weights, pair: Token) -> tuple[Weights, Token]:
    architecture, optimizer, gates = memory.architecture, memory.stepping, pair.gates
    assert optimizer is not None
    if optimizer.associative:
        return _of_association(memory, weights, pair)
    prediction, pull = architecture.respond(weights, pair.key, gates)
    if optimizer.erase is not None:
        prediction = architecture.predict(weights, gated(pair.key, "erase", gates), gates)
    value = pair.value
    if memory.bias.target == "self_generated":
        value = architecture.predict(weights, value, gates)
    target = architecture.target(pair.key, gated(value, "write", gates))
    sensitivity = architecture.sensitivity(weights, pair.key, gates)
    steps = step_sizes(optimizer, gates, sensitivity, pair.key.shape[-1])
    limit = guard(memory, steps, sensitivity)
    if limit is not None and limit.shape[-1] not in (1, prediction.shape[-1]):
        limit = limit.amin(-1, keepdim=True)  # slots answer with more than a value
    gradient = pull(memory.bias.error(prediction, target, gates, limit))
    address = architecture.address(weights, pair.key, gates)
    residual = prediction - target
    info.note_lengths("gradient", gradient)
    info.note_lengths("surprise", {"residual": residual})
    pair = pair._replace(residual=residual, prediction=prediction)
    pair = pair._replace(address=address, step=steps.get(""))
    return architecture.stepped(gradient, steps), pair


def _of_association(memory: Memory, weights: Weights, pair: Token) -> tuple[Weights, Token]:
    """No gradient; where the token is to be written, and what the memory missed if asked for."""
    architecture = memory.architecture
    if memory.optimizer.surprise is not None:
        prediction = architecture.predict(weights, pair.key, pair.gates)
        pair = pair._replace(residual=prediction - pair.value)
    address = architecture.allot(weights, pair.key, pair.gates)
    nothing = {name: torch.zeros_like(leaf) for name, leaf in weights.items()}
    return nothing, pair._replace(address=address)


def gated(x: Tensor, role: str, gates: Gates) -> Tensor:
    """A key or value with the gates of a role (`erase`, `write`) on it."""
    for axis, gate in multipliers(role, gates).items():
        x = x * (gate[..., None] if axis == "" else gate)
    return x


def step_sizes(
    optimizer: Stepping, gates: Gates, sensitivity: Tensor, key_dim: int
) -> dict[str, Tensor]:
    """The steps that are taken, by axis (`""` is a scalar per head)."""
    divisor = {"none": 1, "chunk": optimizer.together, "key_dim": key_dim}[optimizer.scale]
    steps = multipliers("step", gates)
    if divisor != 1:
        steps = {axis: size / divisor for axis, size in steps.items()}
    if "" in steps:
        steps[""] = optimizer.effective(steps[""], sensitivity)
    return steps


def senses(optimizer: Stepping) -> bool:
    """Whether the step that is taken depends on the length of the key."""
    return type(optimizer).effective is not Stepping.effective


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
    together = memory.stepping.span * memory.bias.weight
    return 1 / (together * size.clamp_min(torch.finfo(size.dtype).eps))


def _widest(axis: str, factor: Tensor) -> Tensor:
    return factor[..., None] if axis == "" else factor.amax(-1, keepdim=True)


def multipliers(role: str, gates: Gates) -> dict[str, Tensor]:
    """The gates of a role by axis: `decay_key` under `key`, `decay` under the empty name."""
    names = {"": role} | {axis: f"{role}_{axis}" for axis in ("key", "value", "slot")}
    return {axis: gates[name] for axis, name in names.items() if name in gates}


def link(memory: Memory, accumulator: Weights) -> Weights:
    """The weights that an accumulator stands for."""
    return {name: memory.retention.link(leaf) for name, leaf in accumulator.items()}
