"""What a layer does around its memory, in few passes over few tensors.

On a processor these operations cost what they move, not what they compute. Written one after the
other, torch's own make a new tensor per operation and several more on the way back, and depthwise
convolutions have a slow gradient. Each function here has a kernel that passes once (`kernels`),
and without a compiler a form in torch; its backward keeps the inputs alone. On other devices torch
has kernels of its own: there these are taken.
"""

import inspect
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from miras.kernels import convolution, layer, usable


def _ours(*tensors: Tensor) -> bool:
    """Whether the forms here are taken: on a processor, where no compiler fuses torch's anyway."""
    return not torch.compiler.is_compiling() and usable(*tensors)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean of x^2 + eps) along the last axis, times the weight.

    The weight is `[size]`, or `[heads, size]` for x `[..., heads, size]`.
    """
    if not _ours(x, weight):
        return F.rms_norm(x, x.shape[-1:], eps=eps) * weight
    return _apply(_RmsNorm, x, weight, eps)


def unit_norm(x: Tensor, eps: float = 1e-6, silu: bool = False) -> Tensor:
    """y / max(|y|, eps) along the last axis, y = x or, on demand, silu(x)."""
    if not _ours(x):
        return F.normalize(F.silu(x) if silu else x, dim=-1, eps=eps)
    return _apply(_UnitNorm, x, eps, silu)


def convolve(x: Tensor, history: Tensor, weight: Tensor) -> Tensor:
    """Causal convolution of each channel of x `[batch, time, channels]` with taps of its own.

    `history [batch, taps - 1, channels]` came before; `weight [channels, 1, taps]`, the last tap is
    that of the token itself.
    """
    if not _ours(x, history, weight):
        seen = torch.cat((history, x), dim=1).transpose(1, 2)
        return F.conv1d(seen, weight, groups=weight.shape[0]).transpose(1, 2)
    return _apply(_Convolution, x, history, weight[:, 0].t())


def silu_gate(gate: Tensor, value: Tensor) -> Tensor:
    """silu(gate) value, both of one shape."""
    if not _ours(gate, value) or gate.ndim > 3:
        return F.silu(gate) * value
    return _apply(_Gate, gate, value)


def swiglu(x: Tensor) -> Tensor:
    """silu(first half) times the second half of the last axis."""
    return _apply(_SwiGlu, x) if _ours(x) and x.ndim <= 3 else _split_gate(x)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Entry pairs (i, half + i) of x `[batch, time, heads, size]` turned by angles `[time, half]`.

    What is left over at the end stays. No gradient goes to the angles.
    """
    if not _ours(x, cosine, sine):
        return _turned(x, cosine, sine)
    return _apply(_Rotation, x, cosine, sine, 1)


class _Fused(Function):
    """Torch reads the signature of `forward` in each call: here it is written down once."""

    def __init_subclass__(cls) -> None:
        forward: Any = cls.forward
        forward.__signature__ = inspect.signature(forward)


def _apply(function: Any, *inputs: Any) -> Tensor:
    return function.apply(*inputs)


def _derived(found: Tensor, inputs: list[Tensor], upstream: Tensor) -> tuple[Tensor, ...]:
    """Gradients that have gradients themselves, by way of torch."""
    return torch.autograd.grad(found, inputs, upstream, create_graph=True)


def _four(x: Tensor, heads: bool = True) -> Tensor:
    """x as `[batch, time, heads, size]`, a view unless the strides forbid one."""
    x = x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()
    if x.ndim == 3:
        return x[None] if heads else x[:, :, None]
    if x.ndim < 3:
        return x.reshape(1, 1, -1, x.shape[-1]) if heads else x.reshape(1, -1, 1, x.shape[-1])
    return x if x.ndim == 4 else x.reshape(1, -1, *x.shape[-2:])


class _RmsNorm(_Fused):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> Tensor:
        found = layer.rms(_four(x, weight.ndim == 2), weight.contiguous(), eps)
        return (x * _inverse_rms(x, eps)).mul_(weight) if found is None else found.view(x.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        (above,) = upstream
        if torch.is_grad_enabled():
            plain = F.rms_norm(x, x.shape[-1:], eps=ctx.eps) * weight
            of_x, of_weight = _derived(plain, [x, weight], above)
            return of_x, of_weight, None
        heads = weight.ndim == 2
        tensors = (_four(x, heads), weight.contiguous(), ctx.eps, _four(above, heads))
        found = layer.rms_back(*tensors)
        if found is not None:
            return found[0].view(x.shape), found[1], None
        inverse = _inverse_rms(x, ctx.eps)
        unit = x * inverse
        product = above * unit
        of_weight = product.sum_to_size(weight.shape)
        along = (product * weight).mean(-1, keepdim=True)
        return (above * weight).addcmul_(unit, along, value=-1).mul_(inverse), of_weight, None


def _length(x: Tensor) -> Tensor:
    return cast(Any, torch.linalg.vector_norm)(x, dim=-1, keepdim=True)


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    return _length(x).square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _UnitNorm(_Fused):
    @staticmethod
    def forward(x: Tensor, eps: float, silu: bool) -> Tensor:
        found = layer.unit(_four(x), eps, silu)
        if found is not None:
            return found.view(x.shape)
        y = F.silu(x) if silu else x
        return y / _length(y).clamp_min_(eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.eps, ctx.silu = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        (above,) = upstream
        if torch.is_grad_enabled():
            plain = F.normalize(F.silu(x) if ctx.silu else x, dim=-1, eps=ctx.eps)
            return _derived(plain, [x], above)[0], None, None
        found = layer.unit_back(_four(x), ctx.eps, ctx.silu, _four(above))
        if found is not None:
            return found.view(x.shape), None, None
        y = F.silu(x) if ctx.silu else x
        size = _length(y)
        # Below eps the map is y / eps, whose gradient knows nothing of the length.
        share = size.square().reciprocal_().masked_fill_(size <= ctx.eps, 0.0)
        along = (above * y).sum(-1, keepdim=True) * share
        below = torch.addcmul(above, y, along, value=-1).div_(size.clamp_min_(ctx.eps))
        return torch.ops.aten.silu_backward(below, x) if ctx.silu else below, None, None


class _Convolution(_Fused):
    @staticmethod
    def forward(x: Tensor, history: Tensor, taps: Tensor) -> Tensor:
        tensors = (x.contiguous(), history.contiguous(), taps.contiguous())
        found = convolution.forward(*tensors)
        if found is not None:
            return found
        time, last = x.shape[1], len(taps) - 1
        output = x * taps[last]
        for back in range(1, last + 1):  # each tap looks so many tokens back
            tap, early = taps[last - back], min(back, time)
            output[:, early:].addcmul_(x[:, : time - early], tap)
            output[:, :early].addcmul_(history[:, last - back :][:, :early], tap)
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, ...]:
        x, history, taps = ctx.saved_tensors
        (above,) = upstream
        if torch.is_grad_enabled():
            seen = torch.cat((history, x), dim=1).transpose(1, 2)
            plain = F.conv1d(seen, taps.t()[:, None], groups=taps.shape[1]).transpose(1, 2)
            return _derived(plain, [x, history, taps], above)
        tensors = (x.contiguous(), history.contiguous(), taps.contiguous(), above.contiguous())
        found = convolution.backward(*tensors)
        if found is not None:
            return found
        time, last = x.shape[1], len(taps) - 1
        of_x, of_history, of_taps = above * taps[last], torch.zeros_like(history), []
        for back in range(1, last + 1):
            tap, early = taps[last - back], min(back, time)
            before, first = history[:, last - back :][:, :early], above[:, :early]
            of_x[:, : time - early].addcmul_(above[:, early:], tap)
            of_history[:, last - back :][:, :early].addcmul_(first, tap)
            later = (above[:, early:] * x[:, : time - early]).sum((0, 1))
            of_taps.insert(0, later + (first * before).sum((0, 1)))
        return of_x, of_history, torch.stack([*of_taps, (above * x).sum((0, 1))])


class _Gate(_Fused):
    @staticmethod
    def forward(gate: Tensor, value: Tensor) -> Tensor:
        found = layer.gated(_four(gate, False), _four(value, False))
        return F.silu(gate).mul_(value) if found is None else found.view(gate.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, ...]:
        gate, value = ctx.saved_tensors
        (above,) = upstream
        if torch.is_grad_enabled():
            return _derived(F.silu(gate) * value, [gate, value], above)
        found = gate.new_empty(gate.shape), value.new_empty(value.shape)
        _gate_back(gate, value, above, *found)
        return found


def _gate_back(gate: Tensor, value: Tensor, above: Tensor, to_gate: Tensor, to: Tensor) -> None:
    """Write the gradients of silu(gate) value."""
    if not layer.gated_back(*(_four(x, False) for x in (gate, value, above, to_gate, to))):
        torch.mul(above, F.silu(gate), out=to)
        to_gate.copy_(torch.ops.aten.silu_backward(above * value, gate))


def _split_gate(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


class _SwiGlu(_Fused):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        gate, value = x.chunk(2, dim=-1)
        return _Gate.forward(gate, value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (above,) = upstream
        if torch.is_grad_enabled():
            return _derived(_split_gate(x), [x], above)[0]
        found = x.new_empty(x.shape)
        (gate, value), (to_gate, to) = x.chunk(2, dim=-1), found.chunk(2, dim=-1)
        _gate_back(gate, value, above, to_gate, to)
        return found


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    cosine, sine, half = cosine[:, None], sine[:, None], cosine.shape[-1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    turned = (first * cosine - second * sine, first * sine + second * cosine, rest)
    return torch.cat(turned, dim=-1)


class _Rotation(_Fused):
    @staticmethod
    def forward(x: Tensor, cosine: Tensor, sine: Tensor, sign: int) -> Tensor:
        found = layer.rotate(_four(x), cosine, sine, sign)
        return _turned(x, cosine, sign * sine) if found is None else found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *angles, ctx.sign = inputs
        ctx.save_for_backward(*angles)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        return _apply(_Rotation, *upstream, *ctx.saved_tensors, -ctx.sign), None, None, None
