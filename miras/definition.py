"""The meaning of every memory: the recurrence, token by token.

Slow, literal, differentiable, in any floating type. Every fast plan must compute this function:
outputs, gradients and final state. `prepare`, `recur` and `finish` are its three pieces; plans
reuse the first and the last, which have no recurrence.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from miras import batch, info
from miras.memory import Memory
from miras.optimizer import Stepping
from miras.state import State
from miras.surprise import link, multipliers, pairs, surprise, where
from miras.token import Token

Gates = Mapping[str, Tensor]


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
    tokens = {"own query": inputs.query, "own key": inputs.key, "own value": inputs.value}
    for now in each_token(inputs.gates | tokens):
        own = [now.pop(name) for name in tokens]
        output, state = step(memory, own[0], own[1], own[2], now | inputs.constants, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


def each_token(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Tensors `[batch, time, ...]`, token by token.

    All are cut at once: the derivative of a single cut is as long as the sequence.
    """
    cut: Any = (cast(Any, tensor).unbind(1) for tensor in tensors.values())
    for pieces in zip(*cut, strict=True):
        yield dict(zip(tensors, pieces, strict=True))


def prepare(
    memory: Memory,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gates: Gates,
    position: int,
    without: Collection[str] = (),
) -> Prepared:
    """Map keys, split gates from constants, append the normaliser's channel of ones.

    Gates that are named in `without` are left for the plan to derive.
    """
    heads, key_dim, value_dim = key.shape[2], key.shape[3], value.shape[3]
    signals = memory.gates(heads, key_dim, value_dim)
    constants = {name: gates[name] for name, signal in signals.items() if not signal.per_token}
    tokens = {name: gates[name] for name, signal in signals.items() if signal.per_token}
    places = torch.arange(position, position + key.shape[1], device=key.device)
    features = memory.architecture.features
    if not features.needs_decay:
        query, key = features.map(query, key, constants | tokens, places)
        for use in memory.uses:  # keys of further writes
            if use.width == "unmapped":
                further = tokens[use.name]
                tokens[use.name] = features.map(further, further, constants | tokens, places)[1]
    if not memory.recurrent:
        tokens = memory.resolve(tokens, key, value, without=without)
    if features.needs_decay:
        query, key = features.map(query, key, constants | tokens, places)
    if memory.bias.target == "value_minus_key":
        value = value - key
    elif memory.bias.target == "reconstruction":
        value = key
    if memory.architecture.normalised:
        value = torch.cat((value, torch.ones_like(value[..., :1])), dim=-1)
    return Prepared(query, key, value, tokens, constants)


def finish(memory: Memory, output: Tensor) -> Tensor:
    """Divide by the normaliser's channel, if there is one."""
    return memory.architecture.divide(output) if memory.architecture.normalised else output


def step(
    memory: Memory, query: Tensor, key: Tensor, value: Tensor, gates: Gates, state: State
) -> tuple[Tensor, State]:
    """One token: query, key `[batch, heads, key_dim]`, value `[batch, heads, value_dim]`."""
    before = state.output.get("output", value)
    if memory.recurrent:
        gates = memory.resolve(gates, key, value, before)
    value = memory.architecture.candidate(value, gates, before)
    token = Token(query, key, value, gates, state.position)
    if memory.stepping is None:
        return store(memory, token, state)
    output = None
    if memory.stepping.read == "before":
        output, state = answer(memory, token, state)
    state = write(memory, memory.stepping, token, state)
    if output is None:
        output, state = answer(memory, token, state)
    after = {"output": output} if state.output else {}
    return output, state._replace(position=state.position + 1, output=after)


def write(memory: Memory, optimizer: Stepping, token: Token, state: State) -> State:
    """What a token does to the memory."""
    anchor, exposed, buffers = state.anchor, state.exposed, state.buffers
    if anchor and token.position % optimizer.chunk == 0:
        anchor = link(memory, state.weights)
    learned, buffers = pairs(memory, token, buffers)
    buffers = batch.keep(memory, optimizer, learned, buffers)
    weights = state.weights
    for place, (key, value, gates) in enumerate(optimizer.writes(*token[1:4])):
        now = token._replace(key=key, value=value, gates=gates)
        retained = weights
        if place == 0:
            retained = memory.architecture.carry(weights, gates)
            for name in optimizer.buffers:  # running sums lie beside the weights, and turn along
                buffers = buffers | {name: memory.architecture.carry(buffers[name], gates)}
            retained = memory.architecture.scale(retained, multipliers("decay", gates))
            before = now._replace(weights=weights)
            retained, buffers = memory.retention.keep(retained, buffers, before)
        at = where(memory, retained, state._replace(weights=weights, anchor=anchor))
        shown = [(1.0, now)] if memory.bias.plain else learned
        gradient, now = surprise(memory, at, shown, now._replace(weights=retained))
        weights = retained
        if gradient:
            if memory.architecture.balances:
                keys = buffers["batch"]["key"]
                gradient = batch.balanced(memory, optimizer, at, gradient, now, keys)
            gradient, buffers, now = optimizer.select(gradient, buffers, now)
            change, after = optimizer.move(gradient, buffers, now)
            buffers = buffers | after
            if change is not None:
                info.note_lengths("change", change)
                weights = {name: retained[name] + change[name] for name in retained}
                weights, buffers = memory.retention.settle(weights, buffers, now)
    if token.due(optimizer.batch):
        weights, buffers = batch.reread(memory, optimizer, weights, buffers, token)
    weights, buffers = optimizer.rest(weights, buffers, token)
    if exposed and token.due(optimizer.every):
        exposed = link(memory, weights)
    return state._replace(weights=weights, buffers=buffers, anchor=anchor, exposed=exposed)


def answer(memory: Memory, token: Token, state: State) -> tuple[Tensor, State]:
    """What the memory answers to a token's query, and the memory after it was asked."""
    architecture = memory.architecture
    weights = state.exposed or link(memory, state.weights)
    query = architecture.aim(token.query, token.key, token.gates)
    query = memory.optimizer.seek(query, state.buffers, token.gates)
    output = architecture.read(weights, query, token.gates)
    local = architecture.local(token.query, token.key, token.value, token.gates)
    output = output if local is None else output + local
    output = architecture.let_out(output, token.gates)
    token = token._replace(query=query)
    address = None
    if memory.retention.notices or info.watched():
        address = architecture.address(weights, query, token.gates)
    if address is not None and info.watched():
        info.note("address/asked", address.detach())
    if address is not None and memory.retention.notices:
        state = state._replace(buffers=memory.retention.notice(state.buffers, address, token))
    return output, state._replace(weights=architecture.trace(state.weights, token))


def store(memory: Memory, token: Token, state: State) -> tuple[Tensor, State]:
    """One token of a memory of pairs: forget a little of all, add the pair, evict, read."""
    architecture, retention = memory.architecture, memory.retention
    kept = architecture.scale(state.weights, multipliers("decay", token.gates))
    before = token._replace(weights=state.weights)
    kept, buffers = retention.keep(kept, state.buffers, before)
    predicted = architecture.predict(kept, token.key, token.gates)
    value = memory.optimizer.stored(token.value, predicted, token.gates)
    residual = predicted - token.value
    info.note_lengths("surprise", {"residual": residual})
    gate, buffers = memory.optimizer.choose(residual, buffers)
    now = token._replace(residual=residual, weights=kept, step=gate)
    stored = architecture.store(kept, token.key, value)
    stored = stored if gate is None else architecture.admit(stored, gate)
    stored, buffers = retention.settle(stored, buffers, now)
    state = state._replace(weights=stored, buffers=buffers)
    output, state = answer(memory, token, state)
    return output, state._replace(position=state.position + 1)
