"""Operations in few passes: values and gradients are those of torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from miras.fused import convolve, rms_norm, unit_norm


def check(ours: Tensor, torchs: Tensor, inputs: list[Tensor], tolerance: float = 1e-11) -> None:
    upstream = torch.randn_like(torchs)
    found = [torch.autograd.grad(y, inputs, upstream) for y in (ours, torchs)]
    for one, other in zip((ours, *found[0]), (torchs, *found[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_rms_norm_with_a_gain_of_any_shape(shape: tuple[int, ...]):
    x, weight = random(2, 5, 3, 6), random(*shape)
    check(rms_norm(x, weight, 1e-5), F.rms_norm(x, (6,), eps=1e-5) * weight, [x, weight])


def test_rms_norm_of_a_view_and_of_nothing_but_zeros():
    wide, weight = random(2, 5, 12), random(6)
    x = torch.cat((wide, torch.zeros_like(wide)), dim=0)[..., ::2]
    check(rms_norm(x, weight, 1e-5), F.rms_norm(x, (6,), weight, 1e-5), [wide, weight])


def test_unit_norm_also_of_short_vectors():
    x = random(2, 5, 3, 6)
    scale = torch.tensor([1.0, 1e-3, 1e-7, 0.0, 30.0], dtype=torch.float64)[:, None, None]
    check(unit_norm(x * scale), F.normalize(x * scale, dim=-1, eps=1e-6), [x], 1e-9)


@pytest.mark.parametrize("taps", [2, 4])
@pytest.mark.parametrize("time", [1, 3, 4, 9])
def test_convolution_is_one_over_history_and_piece(taps: int, time: int):
    x, history, weight = random(2, time, 5), random(2, taps - 1, 5), random(5, 1, taps)
    seen = torch.cat((history, x), dim=1)
    written_out = sum(seen[:, tap : tap + time] * weight[:, 0, tap] for tap in range(taps))
    assert isinstance(written_out, Tensor)
    check(convolve(x, history, weight), written_out, [x, history, weight])


def test_gradients_have_gradients():
    x, gain, history, weight = random(1, 4, 3), random(3), random(1, 2, 3), random(3, 1, 3)
    assert torch.autograd.gradgradcheck(lambda x, gain: rms_norm(x, gain, 1e-5), [x, gain])
    assert torch.autograd.gradgradcheck(unit_norm, [x])
    assert torch.autograd.gradgradcheck(convolve, [x, history, weight])
