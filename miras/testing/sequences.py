"""What must hold of every memory and plan on whole sequences."""

from itertools import pairwise

import torch
from torch import Tensor

from miras import definition
from miras.memory import Memory
from miras.operator import run
from miras.plans import Plan, plans
from miras.state import State, Weights
from miras.testing.tensors import Tensors, random_tensors

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference, relative to the largest number of a tensor."""

SMALLEST = 1e-3
"""Tensors with smaller numbers are compared as if their largest number were this."""


def check_plan(
    memory: Memory, plan: Plan | str, tensors: Tensors | None = None, *, before: int = 0
) -> None:
    """A plan computes the function of the definition.

    Outputs, final state, and the gradients of query, key, value, gates and the state at the start
    are compared (the initial weights are that state's). The first `before` tokens are read by the
    definition, and the plan goes on from there.
    """
    tensors = tensors or random_tensors(memory)
    chosen = plans()[plan] if isinstance(plan, str) else plan
    if not chosen.fits(memory):
        raise AssertionError(f"{chosen!r} does not say that it fits {memory!r}")
    found, wanted = (_evaluate(memory, by, tensors, before) for by in (chosen, None))
    if found.keys() != wanted.keys():
        differing = ", ".join(sorted(found.keys() ^ wanted.keys()))
        raise AssertionError(f"{chosen!r} and the definition differ in having {differing}")
    dtype = tensors.value.dtype
    worst = {name: _difference(found[name], wanted[name]) for name in wanted}
    if max(worst.values()) <= TOLERANCE[dtype]:
        return
    # Where rounding alone moves the definition further than that, the plan may move as far.
    exact = _evaluate(memory, None, tensors.to(torch.float64), before)
    for name, difference in worst.items():
        rounding = 8 * _difference(wanted[name].double(), exact[name])
        allowed = max(TOLERANCE[dtype], rounding if dtype != torch.float64 else 0.0)
        if not difference <= allowed:
            raise AssertionError(
                f"{chosen!r} differs from the definition in {name} by {difference:.1e} of its"
                f" scale, {allowed:.0e} is allowed; {memory!r}, {tuple(tensors.key.shape)} keys in"
                f" {dtype} after {before} tokens"
            )


def check_split(memory: Memory, plan: Plan | str = "auto", tensors: Tensors | None = None) -> None:
    """However a sequence is cut into pieces, outputs and final state are the same."""
    tensors = tensors or random_tensors(memory)
    count = tensors.key.shape[1]
    cuts = [(0, at, count) for at in range(1, count)] + [tuple(range(count + 1))]
    with torch.no_grad():
        whole = _named(*_run(memory, plan, tensors, tensors.start(memory)))
        for cut in cuts:
            state, outputs = tensors.start(memory), list[Tensor]()
            for first, last in pairwise(cut):
                output, state = _run(memory, plan, tensors.part(memory, first, last), state)
                outputs.append(output)
            pieces = _named(torch.cat(outputs, dim=1), state)
            for name, tensor in whole.items():
                difference = _difference(pieces[name], tensor)
                if not difference <= TOLERANCE[tensor.dtype]:
                    raise AssertionError(
                        f"plan {plan} gives another {name} when the sequence is cut at"
                        f" {cut[1:-1]}: {difference:.1e} of its scale; {memory!r}"
                    )


def check_causality(
    memory: Memory, plan: Plan | str = "auto", tensors: Tensors | None = None
) -> None:
    """No output depends on an input of a later token."""
    tensors = tensors or random_tensors(memory)
    leaves = _leaves(tensors)
    output, _ = _run(memory, plan, leaves, leaves.start(memory))
    if not output.requires_grad:  # only the weights of the start were read
        return
    signals = tensors.signals(memory)
    inputs = {"query": leaves.query, "key": leaves.key, "value": leaves.value} | {
        name: gate for name, gate in leaves.gates.items() if signals[name].per_token
    }
    for last in range(tensors.key.shape[1] - 1):
        found = torch.autograd.grad(
            output[:, last].sum(), list(inputs.values()), retain_graph=True, materialize_grads=True
        )
        for name, gradient in zip(inputs, found, strict=True):
            if bool((gradient[:, last + 1 :] != 0).any()):
                raise AssertionError(
                    f"plan {plan}: the output of token {last} depends on {name} of a later token;"
                    f" {memory!r}"
                )


def _run(
    memory: Memory, plan: Plan | str | None, tensors: Tensors, state: State
) -> tuple[Tensor, State]:
    query, key, value, gates, _ = tensors
    if plan is None:
        return definition.run(memory, query, key, value, gates, state)
    if isinstance(plan, str):
        return run(memory, query, key, value, gates, state, plan=plan)
    derived = plan.derives(memory)
    prepared = definition.prepare(memory, query, key, value, gates, state.position, derived)
    output, state = plan.run(memory, prepared, state)
    return definition.finish(memory, output), state


def _leaves(tensors: Tensors) -> Tensors:
    """Copies that gradients can be taken of."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_()

    gates = {name: copy(gate) for name, gate in tensors.gates.items()}
    query, key, value = (copy(tensor) for tensor in tensors[:3])
    return Tensors(query, key, value, gates, tensors.weights)


def _named(output: Tensor, state: State) -> dict[str, Tensor]:
    """All numbers of an outcome, by name."""
    position = output.new_tensor(state.position)
    return {"output": output, "position": position} | _leaves_of(state)


def _leaves_of(state: State) -> dict[str, Tensor]:
    groups = {"weights": state.weights, "anchor": state.anchor, "exposed": state.exposed}
    groups |= {f"buffer {name}": buffer for name, buffer in state.buffers.items()}
    groups |= {"previous": state.output}
    return {
        f"{group} {name}": leaf for group, leaves in groups.items() for name, leaf in leaves.items()
    }


def _evaluate(
    memory: Memory, plan: Plan | None, tensors: Tensors, before: int
) -> dict[str, Tensor]:
    """Outcome and gradients of a fixed random function of the outcome."""
    count = tensors.key.shape[1]
    start = tensors.start(memory)
    if before:
        with torch.no_grad():
            start = _run(memory, None, tensors.part(memory, 0, before), start)[1]
    leaves = _leaves(tensors.part(memory, before, count))
    start = _differentiable(start)
    found = _named(*_run(memory, plan, leaves, start))
    generator = torch.Generator().manual_seed(0)
    loss = leaves.value.new_zeros(())
    for tensor in found.values():
        weight = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        loss = loss + (tensor * weight.to(tensor.dtype)).sum()
    inputs = {"query": leaves.query, "key": leaves.key, "value": leaves.value} | leaves.gates
    inputs |= {f"{name} at the start": leaf for name, leaf in _leaves_of(start).items()}
    gradients = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    named = zip(inputs, gradients, strict=True)
    found |= {f"gradient of {name}": gradient for name, gradient in named}
    return {name: tensor.detach() for name, tensor in found.items()}


def _differentiable(state: State) -> State:
    """The same state, every tensor of it a leaf of the graph of gradients."""

    def copy(weights: Weights) -> Weights:
        return {name: leaf.detach().clone().requires_grad_() for name, leaf in weights.items()}

    buffers = {name: copy(buffer) for name, buffer in state.buffers.items()}
    anchor, exposed, output = (copy(group) for group in state[3:])
    return State(state.position, copy(state.weights), buffers, anchor, exposed, output)


def _difference(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the scale of the tensor; infinite where only one is finite."""
    if found.shape != wanted.shape:
        return float("inf")
    if not wanted.numel() or torch.equal(found, wanted):
        return 0.0
    difference = (found - wanted).abs().max().item()
    scale = max(wanted.abs().max().item(), SMALLEST)
    return difference / scale if difference == difference else float("inf")
