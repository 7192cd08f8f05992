"""What a layer does around its memory, in few passes over few tensors.

On a processor these operations cost what they move, not what they compute. Written one after the
other, torch's own make a new tensor per operation and several more on the way back, and depthwise
convolutions have a slow gradient. Each function here is that of its name in `torch.nn.functional`,
with a backward that keeps the inputs alone. Other devices have kernels: there torch's are taken.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean of x^2 + eps) along the last axis, times the weight `[..., size]`.

    The weight may have further axes, such as one gain per head and channel.
    """
    if x.device.type != "cpu":
        return F.rms_norm(x, x.shape[-1:], eps=eps) * weight
    return _apply(_RmsNorm, x, weight, eps)


def unit_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """x / max(|x|, eps) along the last axis."""
    if x.device.type != "cpu":
        return F.normalize(x, dim=-1, eps=eps)
    return _apply(_UnitNorm, x, eps)


def convolve(x: Tensor, history: Tensor, weight: Tensor) -> Tensor:
    """Causal convolution of each channel of x `[batch, time, channels]` with taps of its own.

    `history [batch, taps - 1, channels]` came before; `weight [channels, 1, taps]`, the last tap is
    that of the token itself.
    """
    if x.device.type != "cpu" or x.shape[1] < weight.shape[-1]:
        seen = torch.cat((history, x), dim=1).transpose(1, 2)
        return F.conv1d(seen, weight, groups=weight.shape[0]).transpose(1, 2)
    return _apply(_Convolution, x, history, weight)


def _apply(function: Any, *inputs: Any) -> Tensor:
    return function.apply(*inputs)


def _length(x: Tensor) -> Tensor:
    return cast(Any, torch.linalg.vector_norm)(x, dim=-1, keepdim=True)


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    return _length(x).square().div_(x.shape[-1]).add_(eps).rsqrt()


class _RmsNorm(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return (x * _inverse_rms(x, eps)).mul_(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = upstream
        inverse = _inverse_rms(x, ctx.eps)
        unit = x * inverse
        product = gradient * unit
        of_weight = product.sum_to_size(weight.shape)
        along = (product.mul_(weight)).mean(-1, keepdim=True)
        of_x = (gradient * weight).addcmul_(unit, along, value=-1).mul_(inverse)
        return of_x, of_weight, None


class _UnitNorm(Function):
    @staticmethod
    def forward(x: Tensor, eps: float) -> Tensor:
        return x / _length(x).clamp_min(eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.eps = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (gradient,) = upstream
        size = _length(x)
        # Below eps the map is x / eps, whose gradient knows nothing of the length.
        share = size.square().reciprocal().masked_fill(size <= ctx.eps, 0.0)
        along = (gradient * x).sum(-1, keepdim=True) * share
        return torch.addcmul(gradient, x, along, value=-1).div_(size.clamp_min(ctx.eps)), None


class _Convolution(Function):
    @staticmethod
    def forward(x: Tensor, history: Tensor, weight: Tensor) -> Tensor:
        taps = weight[:, 0].t().contiguous()
        last = len(taps) - 1
        output = x * taps[last]
        for back in range(1, last + 1):  # each tap looks so many tokens back
            tap = taps[last - back]
            output[:, back:].addcmul_(x[:, :-back], tap)
            output[:, :back].addcmul_(history[:, last - back :], tap)
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        x, history, weight = ctx.saved_tensors
        (gradient,) = upstream
        taps = weight[:, 0].t().contiguous()
        last = len(taps) - 1
        of_x, of_history = gradient * taps[last], torch.zeros_like(history)
        of_taps = torch.empty_like(taps)
        of_taps[last] = (gradient * x).sum((0, 1))
        for back in range(1, last + 1):
            tap, late, early = taps[last - back], gradient[:, back:], gradient[:, :back]
            of_x[:, :-back].addcmul_(late, tap)
            of_history[:, last - back :].addcmul_(early, tap)
            of_taps[last - back] = (late * x[:, :-back]).sum((0, 1))
            of_taps[last - back] += (early * history[:, last - back :]).sum((0, 1))
        return of_x, of_history, of_taps.t()[:, None]
