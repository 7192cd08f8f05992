"""Attentional biases against autograd: every error is the gradient of its loss, everywhere."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from miras.bias import Bias
from miras.part import leaves

Spec = dict[str, Any]
DOUBLE = torch.float64
VALUE = 5


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    assert_close(found, wanted, rtol=0.0, atol=tolerance)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=DOUBLE)


LOSSES: list[Spec] = [
    {"kind": "l1", "smoothing": 1e-3},
    *({"kind": "lp", "p": p, "guard": False} for p in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)),
    *({"kind": "lp", "p": p, "guard": False, "smoothing": 0.0} for p in (1.5, 3.0)),
    *({"kind": "lp", "p": p, "guard": False, "smoothing": 0.25} for p in (1.0, 1.5, 3.0)),
    *({"kind": "huber", "form": form} for form in ("coordinate", "norm", "switch")),
    *({"kind": kind} for kind in leaves("miras.bias")),
]
AXIS = leaves("miras.bias")


def bias_of(spec: Spec) -> Bias:
    part = AXIS[spec["kind"]].model_validate(spec)
    assert isinstance(part, Bias)
    return part


def numbers(bias: Bias, rows: int) -> dict[str, Tensor]:
    return {use.name: 0.3 + torch.rand(rows, dtype=DOUBLE) for use in bias.uses()}


@pytest.mark.parametrize("spec", [spec for spec in LOSSES if bias_of(spec).has_loss], ids=str)
def test_error_is_the_gradient_of_the_loss(spec: Spec) -> None:
    bias = bias_of(spec)
    prediction, target = normal(200, VALUE).requires_grad_(), normal(200, VALUE)
    gates = numbers(bias, 200)
    (pushed,) = torch.autograd.grad(bias.loss(prediction, target, gates).sum(), prediction)
    close(bias.error(prediction.detach(), target, gates), pushed)


@pytest.mark.parametrize("spec", LOSSES, ids=str)
def test_error_at_zero_residual(spec: Spec) -> None:
    """Zero where it depends on the residual, with finite slopes for the outer gradient."""
    bias = bias_of(spec)
    target, gates = normal(3, VALUE), numbers(bias, 3)
    prediction = target.clone().requires_grad_()
    error = bias.error(prediction, target, gates)
    if bias.residual and spec["kind"] != "cosine":  # whose smoothing pushes outwards
        close(error, torch.zeros_like(error))
    if error.requires_grad:
        (pushed,) = torch.autograd.grad(error.sum(), prediction)
        assert pushed.isfinite().all()
    if bias.has_loss:
        (pushed,) = torch.autograd.grad(bias.loss(prediction, target, gates).sum(), prediction)
        close(pushed, error.detach())


@pytest.mark.parametrize("form", ["coordinate", "norm", "switch"])
def test_huber_at_its_threshold(form: str) -> None:
    """At the threshold the error is the residual, and just beyond it no larger."""
    bias, gates = (
        bias_of({"kind": "huber", "form": form}),
        {"threshold": torch.ones(1, dtype=DOUBLE)},
    )
    edge = torch.zeros(1, VALUE, dtype=DOUBLE)
    edge[0, 0] = 1.0
    still = torch.zeros_like(edge)
    close(bias.error(edge, still, gates), edge)
    beyond = bias.error(edge * (1 + 1e-9), still, gates)
    close(beyond, edge, 1e-2 if form == "switch" else 1e-8)
    close(bias.loss(edge, still, gates), torch.full((1,), 0.5, dtype=DOUBLE))
    twice = bias.loss(2 * edge, still, gates)
    close(twice, torch.full((1,), 1.5, dtype=DOUBLE))


@pytest.mark.parametrize("spec", LOSSES, ids=str)
def test_declared_properties_of_errors_hold(spec: Spec) -> None:
    bias = bias_of(spec)
    prediction, target = normal(50, VALUE), normal(50, VALUE)
    gates = numbers(bias, 50)
    error = bias.error(prediction, target, gates)
    shift = normal(50, VALUE)
    shifted = bias.error(prediction + shift, target + shift, gates)
    alone = bias.residual and bias.of_difference
    assert bool((error - shifted).abs().max() < 1e-9) == alone
    if bias.linear:
        twice = bias.error(2 * prediction, 2 * target, gates)
        close(twice, 2 * error)
    far = bias.error(1e9 * prediction, target, gates)
    if bias.bounded:
        assert far.abs().max() <= max([1.0, *(float(gate.max()) for gate in gates.values())]) + 1e-9
    if bias.coordinate_wise:
        moved = prediction.clone()
        moved[:, 0] += 1
        close(bias.error(moved, target, gates)[:, 1:], error[:, 1:])
    near = 1e-9 * torch.eye(VALUE, dtype=DOUBLE)
    if alone and bias_of(spec).slope < math.inf and spec.get("form") != "switch":
        fixed = {use.name: torch.full((VALUE,), use.gate.fixed or 1.0) for use in bias.uses()}
        found = bias.error(near, torch.zeros_like(near), fixed).diagonal() / 1e-9
        assert float(found.max()) == pytest.approx(bias.slope, rel=1e-2, abs=1e-2)


def test_value_shift_is_the_worst_square_in_a_ball() -> None:
    """The largest |r - d|^2 / 2 over |d| <= D, searched for among many directions."""
    bias, residual = bias_of({"kind": "value_shift", "smoothing": 1e-12}), normal(4, 2)
    shift = torch.tensor([0.0, 0.2, 0.7, 1.5], dtype=DOUBLE)
    angle = torch.linspace(0, 2 * math.pi, 20_001, dtype=DOUBLE)
    circle = torch.stack((angle.cos(), angle.sin()), dim=-1)
    tried = (residual[:, None] - shift[:, None, None] * circle).square().sum(-1).amax(1) / 2
    close(bias.loss(residual, torch.zeros_like(residual), {"shift": shift}), tried, 1e-5)


def test_kl_is_that_of_torch() -> None:
    prediction, target = normal(6, VALUE), normal(6, VALUE)
    wanted = torch.nn.functional.kl_div(
        prediction.log_softmax(-1), target.softmax(-1), reduction="none"
    )
    close(bias_of({"kind": "kl"}).loss(prediction, target, {}), wanted.sum(-1))


def test_cosine_is_that_of_torch_and_turns_only() -> None:
    bias = bias_of({"kind": "cosine", "smoothing": 1e-14})
    prediction, target = normal(6, VALUE), normal(6, VALUE)
    wanted = -torch.nn.functional.cosine_similarity(prediction, target, dim=-1)
    close(bias.loss(prediction, target, {}), wanted)
    close((bias.error(prediction, target, {}) * prediction).sum(-1), torch.zeros(6, dtype=DOUBLE))
