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
    if bias.residual:
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
    assert bool((error - shifted).abs().max() < 1e-9) == bias.residual
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
    if bias.residual and bias_of(spec).slope < math.inf and spec.get("form") != "switch":
        found = bias.error(near, torch.zeros_like(near), numbers(bias, VALUE)).diagonal() / 1e-9
        assert float(found.max()) == pytest.approx(bias.slope, rel=1e-2, abs=1e-2)
