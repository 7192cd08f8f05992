"""Predictions of a network and their gradients, layer by layer.

What `torch.func.vjp` finds too; but an activation, its slope and the derivatives of both are one
pass over the numbers each.
"""

from collections.abc import Callable, Mapping
from math import pi
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from miras.architecture import Weights, apply
from miras.architecture.network import Network
from miras.kernels import activation

Gates = Mapping[str, Tensor]
Pull = Callable[[Tensor], dict[str, Tensor]]
VALUES = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu, "tanh": torch.tanh}


def answer(network: Network, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
    """The prediction for keys `[..., time, key_dim]`."""
    hidden = key
    for index in range(network.depth - 1):
        hidden = value(network.activation, apply(weights[f"layer_{index}"], hidden))
        if network.gated and index == 0:
            hidden = hidden * apply(weights["gate"], key)
    out = apply(weights[f"layer_{network.depth - 1}"], hidden)
    out = out + weights["offset"] if network.offset else out
    return network.finish(out, key, gates)


def respond(
    network: Network, weights: dict[str, Tensor], key: Tensor, gates: Gates
) -> tuple[Tensor, Pull, dict[str, Tensor]]:
    """Prediction, the errors that meet each leaf from that of the prediction, and leaves' inputs.

    `weights [batch, heads, *leaf]`, keys `[batch, heads, time, key_dim]`.
    """
    inputs, slopes, hidden = dict[str, Tensor](), list[Tensor](), key
    values: list[Tensor] = []
    gate = key
    for index in range(network.depth - 1):
        inputs[f"layer_{index}"] = hidden
        hidden, slope = both(network.activation, hidden @ weights[f"layer_{index}"].mT)
        slopes.append(slope)
        values.append(hidden)
        if network.gated and index == 0:
            inputs["gate"] = key
            gate = key @ weights["gate"].mT
            hidden = hidden * gate
    last = f"layer_{network.depth - 1}"
    inputs[last] = hidden
    out = hidden @ weights[last].mT
    if network.offset:
        out = out + weights["offset"][..., None, :]

    prediction, back = _finish(network, out, key, gates)

    def pull(error: Tensor) -> dict[str, Tensor]:
        error = back(error)
        errors = {last: error} | ({"offset": error} if network.offset else {})
        for index in range(network.depth - 2, -1, -1):
            error = error @ weights[f"layer_{index + 1}"]
            if network.gated and index == 0:
                errors["gate"] = error * values[0]
                error = error * gate
            error = error * slopes[index]
            errors[f"layer_{index}"] = error
        return errors

    return prediction, pull, inputs


def _finish(
    network: Network, out: Tensor, key: Tensor, gates: Gates
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`network.finish`, and the map from an error in it to that in `out`."""
    if network.norm == "none":
        return key + out if network.residual else out, lambda error: error
    centred = out - out.mean(-1, keepdim=True) if network.norm == "layer" else out
    inverse = (centred.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    normal, gain = centred * inverse, gates["norm_gain"]
    found = gain * normal
    found = found + gates["norm_shift"] if network.norm == "layer" else found

    def back(error: Tensor) -> Tensor:
        error = error * gain
        along = (error * normal).mean(-1, keepdim=True)
        error = error - error.mean(-1, keepdim=True) if network.norm == "layer" else error
        return (error - normal * along) * inverse

    return key + found if network.residual else found, back


def value(kind: str, z: Tensor) -> Tensor:
    """The activation of z."""
    return cast(Any, _Activation).apply(kind, z, False)[0]


def both(kind: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """The activation of z and its slope there."""
    return cast(Any, _Activation).apply(kind, z, True)


class _Activation(Function):
    @staticmethod
    def forward(kind: str, z: Tensor, steep: bool) -> tuple[Tensor, Tensor | None]:
        found = activation.forward(kind, z, steep)
        if found is None:
            return VALUES[kind](z), _slope(kind, z) if steep else None
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.kind, z, _ = inputs
        ctx.save_for_backward(z)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, Tensor, None]:
        (z,) = ctx.saved_tensors
        above, steep = gradients
        above = torch.zeros_like(z) if above is None else above
        if not torch.is_grad_enabled():
            found = activation.backward(ctx.kind, z, above, steep)
            if found is not None:
                return None, found, None
        found = above * _slope(ctx.kind, z)
        return None, found if steep is None else found + steep * _curve(ctx.kind, z), None


def _slope(kind: str, z: Tensor) -> Tensor:
    if kind == "gelu":
        return 0.5 * torch.erfc(-z * 0.5**0.5) + z * _bell(z)
    if kind == "silu":
        share = z.sigmoid()
        return share * (1 + z * (1 - share))
    return (z > 0).to(z.dtype) if kind == "relu" else 1 - z.tanh().square()


def _curve(kind: str, z: Tensor) -> Tensor:
    if kind == "gelu":
        return _bell(z) * (2 - z.square())
    if kind == "silu":
        share = z.sigmoid()
        return share * (1 - share) * (2 + z * (1 - 2 * share))
    return torch.zeros_like(z) if kind == "relu" else -2 * z.tanh() * (1 - z.tanh().square())


def _bell(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) * (2 * pi) ** -0.5
