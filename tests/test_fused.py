"""Operations in few passes: values and gradients are those of torch's own, with kernels or not."""

import shutil
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from miras import kernels
from miras.fused import convolve, rms_norm, rotate, silu_gate, swiglu, unit_norm
from miras.kernels import convolution, layer

DTYPES = {torch.float64: 1e-11, torch.float32: 2e-5}


@pytest.fixture(autouse=True, params=["kernels", "torch"])
def _route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "torch":
        monkeypatch.setenv(kernels.SWITCH, "0")
    elif shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler here")
    yield


def check(ours: Tensor, torchs: Tensor, *inputs: Tensor) -> None:
    assert ours.shape == torchs.shape
    upstream = torch.randn_like(torchs)
    found = [torch.autograd.grad(y, inputs, upstream, retain_graph=True) for y in (ours, torchs)]
    tolerance = DTYPES[ours.dtype]
    for one, other in zip((ours, *found[0]), (torchs, *found[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gain", [(6,), (3, 6)])
@pytest.mark.parametrize("lead", [(), (5,), (2, 5), (2, 5, 4)])
def test_rms_norm(lead: tuple[int, ...], gain: tuple[int, ...], dtype: torch.dtype):
    x, weight = random(*lead, 3, 6, dtype=dtype), random(*gain, dtype=dtype)
    check(rms_norm(x, weight, 1e-5), F.rms_norm(x, (6,), eps=1e-5) * weight, x, weight)


def views(dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """A leaf, and a view of it as layers have them: `[batch, time, heads, size]`."""
    one, wide, turned = random(2, 5, 3, 6, dtype=dtype), random(2, 5, 50), random(2, 3, 5, 6)
    wide, turned = (each.to(dtype).detach().requires_grad_() for each in (wide, turned))
    return {
        "contiguous": (one, one),
        "part": (wide, wide[..., 7:25].unflatten(-1, (3, 6))),
        "heads first": (turned, turned.transpose(1, 2)),
        "every second": (wide, wide[..., 1:37:2].unflatten(-1, (3, 6))),
        "one for all heads": (wide, wide[..., None, 2:8].expand(-1, -1, 3, -1)),
    }


VIEWS = list(views(torch.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", VIEWS)
def test_what_a_layer_hands_on(view: str, dtype: torch.dtype):
    leaf, x = views(dtype)[view]
    weight = random(3, 6, dtype=dtype)
    check(rms_norm(x, weight, 1e-5), F.rms_norm(x, (6,), eps=1e-5) * weight, leaf, weight)
    check(unit_norm(x), F.normalize(x, dim=-1, eps=1e-6), leaf)
    check(unit_norm(x, silu=True), F.normalize(F.silu(x), dim=-1, eps=1e-6), leaf)
    for half in (3, 2):
        angle = torch.rand(5, half, dtype=torch.float64)
        wave = torch.polar(torch.ones_like(angle), angle)[:, None]
        pairs = torch.complex(x[..., :half].double(), x[..., half : 2 * half].double()) * wave
        turned = torch.cat((pairs.real.to(dtype), pairs.imag.to(dtype), x[..., 2 * half :]), dim=-1)
        check(rotate(x, angle.cos().to(dtype), angle.sin().to(dtype)), turned, leaf)
    flat = x.flatten(-2)
    gate = random(*flat.shape, dtype=dtype)
    check(silu_gate(gate, flat), F.silu(gate) * flat, leaf, gate)
    check(silu_gate(flat[0], gate[1]), F.silu(flat[0]) * gate[1], leaf, gate)
    halves = flat.chunk(2, dim=-1)
    check(swiglu(flat), F.silu(halves[0]) * halves[1], leaf)


def test_unit_norm_of_short_vectors_and_of_zeros():
    x = random(2, 5, 3, 6)
    scale = torch.tensor([1.0, 1e-3, 1e-7, 0.0, 30.0], dtype=torch.float64)[:, None, None]
    found, wanted = unit_norm(x * scale), F.normalize(x * scale, dim=-1, eps=1e-6)
    check(found, wanted, x)
    zeros = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(rms_norm(zeros, torch.ones(6).double(), 1e-5).sum(), zeros)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("taps", [2, 4])
@pytest.mark.parametrize("time", [1, 3, 4, 9])
def test_convolution_is_one_over_history_and_piece(taps: int, time: int, dtype: torch.dtype):
    x, history = random(3, time, 5, dtype=dtype), random(3, taps - 1, 5, dtype=dtype)
    weight = random(5, 1, taps, dtype=dtype)
    seen = torch.cat((history, x), dim=1)
    each = [seen[:, tap : tap + time] * weight[:, 0, tap] for tap in range(taps)]
    check(convolve(x, history, weight), torch.stack(each).sum(0), x, history, weight)


def test_the_kernels_are_those_that_run(request: pytest.FixtureRequest):
    x = torch.zeros(1, 1, 1, 1)
    route = layer.unit(x, 1e-6, False), convolution.forward(x[0], x[0, :, :0], x[0, 0])
    assert [found is None for found in route] == ["torch" in request.node.name] * 2


def test_silu_far_out():
    x = torch.tensor([-1e4, -100.0, -87.5, -20.0, 0.0, 20.0, 88.5, 1e4], requires_grad=True)
    one = torch.ones(8, requires_grad=True)
    check(silu_gate(x, one), F.silu(x) * one, x, one)


def test_what_is_not_a_number_stays_visible():
    x = torch.randn(2, 3, 2, 4)
    x[0, 1, 1, 2], x[1, 0, 0, 0] = float("nan"), float("nan")
    bad = torch.zeros(2, 3, 2, 1, dtype=torch.bool)
    bad[0, 1, 1], bad[1, 0, 0] = True, True
    for found in (rms_norm(x, torch.ones(4), 1e-5), unit_norm(x), unit_norm(x, silu=True)):
        assert torch.equal(found.isnan(), bad.expand_as(x))
    assert torch.equal(silu_gate(x[0], x[0]).isnan(), x[0].isnan())


def test_gradients_have_gradients():
    x, gain, history, weight = random(1, 4, 3), random(3), random(1, 2, 3), random(3, 1, 3)
    assert torch.autograd.gradgradcheck(lambda x, gain: rms_norm(x, gain, 1e-5), [x, gain])
    assert torch.autograd.gradgradcheck(lambda x: unit_norm(x, silu=True), [x])
    assert torch.autograd.gradgradcheck(convolve, [x, history, weight])
    assert torch.autograd.gradgradcheck(swiglu, [random(3, 4)])
    assert torch.autograd.gradgradcheck(silu_gate, [random(3, 4), random(3, 4)])


def test_work_is_split_over_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "WORTH", 0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for view in VIEWS:
            test_what_a_layer_hands_on(view, torch.float32)
        test_convolution_is_one_over_history_and_piece(4, 9, torch.float64)
    finally:
        torch.set_num_threads(before)
