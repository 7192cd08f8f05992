"""What holds of every composition: in pieces, in order, by any plan, in any floating type."""

from itertools import pairwise

import pytest
import torch
from composition_cases import CASES, begin, composed, inputs_of, play
from torch import Tensor

from miras.composition import AnyCell
from miras.composition.contract import Inputs
from miras.composition.either import start
from miras.composition.tree import leaves_of
from miras.layer import Layer
from miras.load import dump, loads
from miras.operator import ask, run
from miras.part import SpecError, leaves
from miras.testing import check_part

TIME = 11

OPERATORS = [name for name, text in CASES.items() if not composed(text).layered]


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_every_kind_is_tested() -> None:
    kinds = {getattr(composed(text), "compose", "") for text in CASES.values()}
    assert kinds == set(leaves("miras.composition", "compose"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_a_part_like_others(name: str) -> None:
    memory = composed(CASES[name])
    assert loads(dump(memory), AnyCell) == memory
    assert type(memory).model_validate_json(memory.model_dump_json()) == memory
    assert hash(memory) == hash(composed(CASES[name]))
    assert "Source:" in (type(memory).__doc__ or "")
    assert memory.formula()[1], "no read in writing"
    check_part(memory)


@pytest.mark.parametrize("name", OPERATORS)
def test_any_split_gives_the_same(name: str) -> None:
    memory, inputs = composed(CASES[name]), inputs_of(composed(CASES[name]), TIME)
    whole, last = play(memory, inputs)
    assert whole.isfinite().all() and last.position == TIME
    cuts = [(0, at, TIME) for at in (1, 5, 8)] + [(0, 3, 4, 10, TIME)]
    for cut in [*cuts, tuple(range(TIME + 1))]:
        state, outputs = begin(memory), list[Tensor]()
        for first, end in pairwise(cut):
            output, state = play(memory, inputs.span(first, end), state)
            outputs.append(output)
        close(torch.cat(outputs, dim=1), whole)
        assert state.floats() == last.floats() and state.position == TIME
        for found, wanted in zip(leaves_of(state), leaves_of(last), strict=True):
            close(found, wanted)


@pytest.mark.parametrize("name", OPERATORS)
def test_plans_are_those_of_the_cells(name: str) -> None:
    memory, inputs = composed(CASES[name]), inputs_of(composed(CASES[name]), TIME, seed=1)
    found, state = play(memory, inputs)
    wanted, slow = play(memory, inputs, plan="definition")
    close(found, wanted)
    for leaf, other in zip(leaves_of(state), leaves_of(slow), strict=True):
        close(leaf, other)


def gradient_leaves(inputs: Inputs) -> Inputs:
    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_()

    gates = {name: copy(gate) for name, gate in inputs.gates.items()}
    query, key, value = (copy(tensor) for tensor in inputs[:3])
    return Inputs(query, key, value, gates, inputs.per_token)


@pytest.mark.parametrize("name", OPERATORS)
def test_no_output_sees_a_later_token(name: str) -> None:
    memory = composed(CASES[name])
    inputs = gradient_leaves(inputs_of(memory, TIME, seed=2))
    output, _ = play(memory, inputs)
    per_token = {n: gate for n, gate in inputs.gates.items() if n in inputs.per_token}
    sources = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | per_token
    for last in range(TIME - 1):
        found = torch.autograd.grad(
            output[:, last].sum(), list(sources.values()), retain_graph=True, materialize_grads=True
        )
        for source, gradient in zip(sources, found, strict=True):
            assert not (gradient[:, last + 1 :] != 0).any(), (source, last)


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_are_finite_and_arrive(name: str) -> None:
    memory = composed(CASES[name])
    inputs = gradient_leaves(inputs_of(memory, TIME, seed=3))
    output, _ = play(memory, inputs)
    sources = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | dict(inputs.gates)
    loss = (output * torch.randn_like(output)).sum()
    found = torch.autograd.grad(loss, list(sources.values()), materialize_grads=True)
    for source, gradient in zip(sources, found, strict=True):
        assert gradient.isfinite().all(), source
        assert gradient.abs().max() > 0, source


@pytest.mark.parametrize("name", OPERATORS)
def test_single_precision(name: str) -> None:
    memory, inputs = composed(CASES[name]), inputs_of(composed(CASES[name]), TIME, seed=4)
    wanted, _ = play(memory, inputs)

    def single(tensor: Tensor) -> Tensor:
        return tensor.float()

    gates = {gate: single(tensor) for gate, tensor in inputs.gates.items()}
    query, key, value = (single(tensor) for tensor in inputs[:3])
    found, state = play(memory, Inputs(query, key, value, gates, inputs.per_token))
    assert {found.dtype} == {leaf.dtype for leaf in leaves_of(state)} == {torch.float32}
    close(found.double(), wanted, 1e-3)


@pytest.mark.parametrize("name", OPERATORS)
def test_state_is_counted_and_cut_from_the_graph(name: str) -> None:
    memory = composed(CASES[name])
    inputs = gradient_leaves(inputs_of(memory, TIME))
    _, state = play(memory, inputs)
    cut = state.detach()
    assert not any(leaf.requires_grad for leaf in leaves_of(cut))
    kept = leaves_of((cut.cells, cut.own))
    inner = [cell.first for cell in cut.cells if hasattr(cell, "first")]
    sequences = inputs.query.shape[0]
    whole, learned = (
        sum(leaf.numel() for leaf in each) for each in (kept, leaves_of(tuple(inner)))
    )
    assert state.floats() * sequences == whole - learned


@pytest.mark.parametrize("name", OPERATORS)
def test_a_question_writes_nothing(name: str) -> None:
    memory = composed(CASES[name])
    inputs = inputs_of(memory, TIME)
    _, state = play(memory, inputs)
    before = [leaf.clone() for leaf in leaves_of(state)]
    now = inputs.span(5, 8)
    answers = ask(memory, now.query, now.gates, state, 4)
    assert answers.shape == (2, 3, 2, 4) and answers.isfinite().all()
    for one in range(3):
        alone = now.span(one, one + 1)
        close(ask(memory, alone.query, alone.gates, state, 4), answers[:, one : one + 1])
    for leaf, wanted in zip(leaves_of(state), before, strict=True):
        assert torch.equal(leaf, wanted)


def test_a_missing_gate_is_a_sentence() -> None:
    memory = composed(CASES["levels"])
    inputs = inputs_of(memory, 3)
    gates = {name: gate for name, gate in inputs.gates.items() if name != "0.decay"}
    with pytest.raises(SpecError, match=r"gate 0\.decay is missing: give a tensor \[2, 3, 2\]"):
        run(memory, *inputs[:3], gates)
    with pytest.raises(SpecError, match="unknown gate decay"):
        run(memory, *inputs[:3], dict(inputs.gates) | {"decay": gates["mix"]})


def test_a_state_of_another_kind_of_start() -> None:
    memory = composed(CASES["resets"])
    state = start(memory, 3, 2, 4, 4)
    assert state.position == 0 and leaves_of(state.cells)[0].shape[:2] == (3, 2)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_streams_and_learns(name: str) -> None:
    layer = Layer(composed(CASES[name]), 8, 2, conv=2).double()
    x = torch.randn(2, TIME, 8, dtype=torch.float64)
    whole, last = layer(x)
    for cut in (1, 5, 8, 10):
        first, state = layer(x[:, :cut])
        second, state = layer(x[:, cut:], state)
        close(torch.cat((first, second), 1), whole)
        assert state.floats() == last.floats()
    changed = x.clone()
    changed[:, 7:] += 1.0
    after, _ = layer(changed)
    close(after[:, :7], whole[:, :7], 1e-12)
    assert (after[:, 7:] - whole[:, 7:]).abs().max() > 1e-6
    (whole * torch.randn_like(whole)).sum().backward()
    for parameter, tensor in layer.named_parameters():
        assert tensor.grad is not None and tensor.grad.isfinite().all(), parameter
        assert tensor.grad.abs().max() > 0, parameter
    assert last.detach().floats() == last.floats()


@pytest.mark.parametrize("name", sorted(set(CASES) - set(OPERATORS)))
def test_layers_are_no_operators(name: str) -> None:
    x = torch.zeros(1, 2, 2, 4)
    memory = composed(CASES[name])
    with pytest.raises(SpecError):
        run(
            memory,
            x,
            x,
            x,
            {n: torch.zeros(1, 2, *s.shape) for n, s in memory.gates(2, 4, 4).items()},
        )
