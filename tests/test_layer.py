"""The layer: streaming, shapes, counted state, gradients, for every known memory."""

from collections.abc import Sequence

import pytest
import torch
from light import brisk, light
from torch import Tensor

from miras.info import collecting
from miras.known import known
from miras.layer import Layer, LayerState
from miras.memory import Memory
from miras.model import Model, ModelSpec

DIM, HEADS, TIME = 16, 2, 21


def run(layer: Layer, pieces: Sequence[Tensor]) -> tuple[Tensor, LayerState]:
    """Outputs for a sequence in pieces, without what is drawn in training alone.

    What is drawn in evaluation too, for one token after the other, is the same for the same tokens.
    """
    torch.manual_seed(3)
    layer.eval()
    outputs: list[Tensor] = []
    state: LayerState | None = None
    for piece in pieces:
        output, state = layer(piece, state)
        outputs.append(output)
    assert state is not None
    return torch.cat(outputs, dim=1), state


@pytest.mark.parametrize("name", known())
def test_any_split_gives_the_same_outputs(name: str):
    layer = Layer(light(name), DIM, HEADS).double()
    x = torch.randn(2, TIME, DIM, dtype=torch.float64)
    whole, last = run(layer, [x])
    for cut in (1, 7, 16, 20):
        found, state = run(layer, [x[:, :cut], x[:, cut:]])
        torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-9)
        assert state.floats() == last.floats()
    found, _ = run(layer, x.split(1, dim=1))
    torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", known())
def test_no_output_sees_a_later_input(name: str):
    layer = Layer(light(name), DIM, HEADS).double()
    x = torch.randn(1, TIME, DIM, dtype=torch.float64)
    changed = x.clone()
    changed[:, 13:] += torch.randn(1, TIME - 13, DIM, dtype=torch.float64)
    before, after = run(layer, [x])[0], run(layer, [changed])[0]
    torch.testing.assert_close(before[:, :13], after[:, :13], rtol=1e-12, atol=1e-12)
    assert (before[:, 13:] - after[:, 13:]).abs().max() > 1e-6


@pytest.mark.parametrize("name", known())
def test_every_parameter_gets_a_finite_gradient(name: str):
    layer = Layer(brisk(name), DIM, HEADS)
    with collecting() as info:  # some parameters serve auxiliary losses alone
        y, _ = layer(torch.randn(2, TIME, DIM))
    ((y * torch.randn_like(y)).sum() + info.loss()).backward()
    for parameter_name, parameter in layer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


def test_state_floats_are_counted_with_the_convolution():
    heads, size, taps = 4, 4, 4
    layer = Layer(known()["deltanet"], DIM, heads, conv=taps)
    _, state = layer(torch.randn(3, 5, DIM))
    assert state.memory.floats() == heads * size * size
    assert state.floats() == heads * size * size + (taps - 1) * 3 * DIM
    grown = Layer(known()["softmax-attention"], DIM, heads, conv=0)
    _, state = grown(torch.randn(3, 5, DIM))
    assert state.floats() == 5 * (2 * DIM + heads)  # keys, values and one logit bias per pair


def test_a_pattern_of_layers_is_a_hybrid():
    window = {"use": "sliding-window", "retention": {"size": 3}}
    spec = ModelSpec.model_validate(
        {"dim": DIM, "layers": 4, "heads": 2, "pattern": ["gated-deltanet", window]}
    )
    cells = [spec.memory(i) for i in range(4)]
    assert [isinstance(c, Memory) and c.retention.of_pairs for c in cells] == [False, True] * 2
    model = Model(spec, vocabulary=11)
    _, state = model(torch.randint(11, (2, 9)))
    assert state[1].memory.weights["keys"].shape[2] == 3


@pytest.mark.parametrize(
    ("name", "bare"),
    [("gla", False), ("gla", True), ("mamba-1", False), ("fwpkm", False), ("srwm", True)],
)
def test_logits_at_scored_positions_are_those_of_all_positions(name: str, bare: bool):
    spec = ModelSpec(dim=DIM, layers=1, pattern=(light(name),), bare=bare, tie=not bare)
    model = Model(spec, vocabulary=11).double().eval()
    tokens = torch.randint(11, (3, 8))
    scored = torch.rand(3, 8) < 0.4
    everywhere, whole = model(tokens)
    some, state = model(tokens, scored=scored)
    torch.testing.assert_close(some, everywhere[scored])
    assert all(here.floats() == there.floats() for here, there in zip(state, whole, strict=True))
    upstream, learned = torch.randn_like(some), list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(some, learned, upstream, allow_unused=True),
        torch.autograd.grad(everywhere[scored], learned, upstream, allow_unused=True),
    )


@pytest.mark.parametrize("name", ["softmax-attention", "gated-deltanet", "titans-lmm", "gru"])
def test_greedy_generation_equals_full_recompute(name: str):
    spec = ModelSpec.model_validate({"dim": DIM, "heads": 2, "pattern": [name]})
    model = Model(spec, vocabulary=13).double()
    tokens = torch.randint(13, (2, 5))
    generated = torch.stack(list(model.generate(tokens, 12, temperature=0.0)), dim=1)
    for token in generated.unbind(1):
        logits, _ = model(tokens)
        assert torch.equal(logits[:, -1].argmax(-1), token)
        tokens = torch.cat((tokens, token[:, None]), dim=1)
