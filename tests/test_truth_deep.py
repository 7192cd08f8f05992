"""The definition against independent statements: memories that are networks.

The network is written down again with torch's own layers and differentiated by autograd; then in
closed form where one exists: the fused gradient of a layer norm, the dual form of a frozen chunk.
"""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain import Array, draw, play, same
from torch import Tensor

from miras.part import SpecError

Spec = dict[str, Any]
TIME, SIZE = 10, 4
ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu, "tanh": torch.tanh}
DICE = np.random.default_rng(3)
GAIN, SHIFT = DICE.normal(size=SIZE), DICE.normal(size=SIZE)
SMALL = {"kind": "sigmoid", "scale": 0.1}
SEEN = draw(TIME, SIZE, SIZE)


def first(spec: Spec) -> dict[str, Array]:
    """Random initial weights of an mlp with twice as many hidden units as inputs."""
    depth, dice = spec.get("depth", 2), np.random.default_rng(5)
    sizes = [SIZE, *[2 * SIZE] * (depth - 1), SIZE]
    found = {
        f"layer_{i}": dice.normal(size=(sizes[i + 1], sizes[i])) / sizes[i] ** 0.5
        for i in range(depth)
    }
    if spec.get("gated"):
        found["gate"] = dice.normal(size=found["layer_0"].shape) / 2
    if spec.get("offset"):
        found["offset"] = dice.normal(size=SIZE)
    return found


def network(spec: Spec, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """residual x + norm(W_n act(... act(W_1 x) [* G x]) + b), with torch's layers."""
    hidden, depth = x, spec.get("depth", 2)
    for index in range(depth - 1):
        hidden = ACTIVATIONS[spec.get("activation", "gelu")](
            F.linear(hidden, weights[f"layer_{index}"])
        )
        if spec.get("gated") and index == 0:
            hidden = hidden * F.linear(x, weights["gate"])
    out = F.linear(hidden, weights[f"layer_{depth - 1}"], weights.get("offset"))
    gain, shift = torch.from_numpy(GAIN), torch.from_numpy(SHIFT)
    if spec.get("norm", "layer") == "layer":
        out = F.layer_norm(out, (SIZE,), gain, shift, eps=1e-6)
    elif spec["norm"] == "rms":
        out = F.rms_norm(out, (SIZE,), gain, eps=1e-6)
    return x + out if spec.get("residual", True) else out


def loss(bias: str, prediction: Tensor, target: Tensor) -> Tensor:
    residual = prediction - target
    return {
        "l2": residual.square().sum() / 2,
        "dot": -(prediction * target).sum(),
        "huber": F.huber_loss(prediction, target, reduction="sum", delta=1.0),
        "l1": (residual.square() + 0.01).sqrt().sum(),
    }[bias]


def gradient(spec: Spec, bias: str, at: dict[str, Tensor], t: int) -> dict[str, Tensor]:
    """By autograd, of the loss of token t at some weights."""
    at = {name: leaf.detach().requires_grad_() for name, leaf in at.items()}
    key, value = torch.from_numpy(SEEN.key[t]), torch.from_numpy(SEEN.value[t])
    found = torch.autograd.grad(loss(bias, network(spec, at, key), value), list(at.values()))
    return dict(zip(at, found, strict=True))


NETWORKS: list[Spec] = [
    {},
    {"activation": "silu", "gated": True, "norm": "rms"},
    {"activation": "relu", "norm": "none", "residual": False, "depth": 3},
    {"activation": "tanh", "depth": 4, "offset": True},
    {"depth": 1, "offset": True},
    {"depth": 1, "norm": "none", "residual": False},
    {"depth": 3, "gated": True, "norm": "rms", "residual": False},
]


@pytest.mark.parametrize("bias", ["l2", "dot", "huber", "l1"])
@pytest.mark.parametrize("spec", NETWORKS, ids=str)
def test_titans_by_autograd(spec: Spec, bias: str) -> None:
    """S = eta S - step grad(W_{t-1}), W = decay W + S, read at W_t (Titans, equations 9 to 14)."""
    retention, optimizer = "decay", {"kind": "momentum", "gradient_at": "previous", "step": SMALL}
    whole = {"architecture": {"kind": "mlp", "expansion": 2.0, **spec}, "bias": bias,
             "retention": retention, "optimizer": optimizer}  # fmt: skip
    gates = {
        "decay": SEEN.decay, "step": SEEN.step / 10, "momentum": SEEN.momentum, "threshold": 1.0,
        "norm_gain": GAIN, "norm_shift": SHIFT,
    }  # fmt: skip
    found = play(whole, *SEEN[:3], gates, first(spec))
    weights = {name: torch.from_numpy(leaf) for name, leaf in first(spec).items()}
    surprise = {name: torch.zeros_like(leaf) for name, leaf in weights.items()}
    for t in range(TIME):
        slopes = gradient(spec, bias, weights, t)
        for name in weights:
            surprise[name] = SEEN.momentum[t] * surprise[name] - SEEN.step[t] / 10 * slopes[name]
            weights[name] = SEEN.decay[t] * weights[name] + surprise[name]
        wanted = network(spec, weights, torch.from_numpy(SEEN.query[t]))
        same(found.output[t], wanted.numpy())
    for name, leaf in weights.items():
        same(found.weights[name], leaf.numpy())


@pytest.mark.parametrize("gradient_at", ["retained", "previous", "anchor"])
def test_steps_and_decays_per_channel(gradient_at: str) -> None:
    """Key channels are the columns of the first matrix, value channels the rows of the last."""
    spec: Spec = {"norm": "layer", "gated": True}
    chunk = 4 if gradient_at == "anchor" else 1
    whole = {
        "architecture": {"kind": "mlp", "expansion": 2.0, **spec},
        "retention": {"kind": "decay", "axis": "both"},
        "optimizer": {"kind": "gd", "gradient_at": gradient_at, "step_axis": "both", "step": SMALL,
                      "chunk": chunk, "scale": "chunk"},
    }  # fmt: skip
    dice = np.random.default_rng(1)
    gates: dict[str, Any] = {"norm_gain": GAIN, "norm_shift": SHIFT}
    gates |= {f"step_{axis}": dice.uniform(0, 0.3, (TIME, SIZE)) for axis in ("key", "value")}
    gates |= {f"decay_{axis}": dice.uniform(0.6, 1, (TIME, SIZE)) for axis in ("key", "value")}
    found = play(whole, *SEEN[:3], gates, first(spec)).output

    def spread(kind: str, name: str, t: int) -> Tensor:
        if name == "layer_1":
            return torch.from_numpy(gates[f"{kind}_value"][t])[:, None]
        return torch.from_numpy(gates[f"{kind}_key"][t])

    weights = {name: torch.from_numpy(leaf) for name, leaf in first(spec).items()}
    anchor = weights
    for t in range(TIME):
        if t % chunk == 0:
            anchor = weights
        kept = {name: spread("decay", name, t) * leaf for name, leaf in weights.items()}
        at = {"retained": kept, "previous": weights, "anchor": anchor}[gradient_at]
        slopes = gradient(spec, "l2", at, t)
        weights = {n: kept[n] - spread("step", n, t) / chunk * slopes[n] for n in kept}
        wanted = network(spec, weights, torch.from_numpy(SEEN.query[t]))
        same(found[t], wanted.numpy())


@pytest.mark.parametrize("retention", ["simplex", "lq"])
def test_memora_and_moneta_keep_an_accumulator_per_matrix(retention: str) -> None:
    """A = decay A - step grad(W), W = softmax(A) or A / |A|_4^2 (MIRAS, equations 24 to 27)."""
    spec: Spec = {"activation": "gelu"}

    def link(dual: Tensor) -> Tensor:
        return dual.softmax(-1) if retention == "simplex" else dual / dual.pow(4).sum().sqrt()

    whole = {"architecture": {"kind": "mlp", "expansion": 2.0}, "retention": retention,
             "optimizer": {"kind": "gd", "step": SMALL}}  # fmt: skip
    gates = {"decay": SEEN.decay, "step": 0.02, "norm_gain": GAIN, "norm_shift": SHIFT}
    found = play(whole, *SEEN[:3], gates, first(spec)).output
    dual = {name: torch.from_numpy(leaf) for name, leaf in first(spec).items()}
    if retention == "lq":
        dual = {name: link(leaf) for name, leaf in dual.items()}  # its own inverse
    for t in range(TIME):
        dual = {name: SEEN.decay[t] * leaf for name, leaf in dual.items()}
        slopes = gradient(spec, "l2", {name: link(leaf) for name, leaf in dual.items()}, t)
        dual = {name: leaf - 0.02 * slopes[name] for name, leaf in dual.items()}
        shown = {name: link(leaf) for name, leaf in dual.items()}
        same(found[t], network(spec, shown, torch.from_numpy(SEEN.query[t])).numpy(), 1e-8)


def test_gradient_through_a_layer_norm_is_the_fused_form_of_ttt() -> None:
    """And both are what finite differences say. One token, step 1: the change is the gradient."""
    spec: Spec = {"depth": 1, "residual": False}
    start = first(spec)["layer_0"]
    key, target = SEEN.key[:1], SEEN.value[:1]
    gates = {"step": 1.0, "norm_gain": GAIN, "norm_shift": SHIFT}
    found = start - play({"architecture": {"kind": "mlp", **spec}}, key, key, target, gates,
                         {"layer_0": start}).weights["layer_0"]  # fmt: skip

    def value(weights: Array) -> float:
        z = weights @ key[0]
        read = GAIN * (z - z.mean()) / np.sqrt(z.var() + 1e-6) + SHIFT
        return 0.5 * float(((read - target[0]) ** 2).sum())

    z = start @ key[0]
    spread = np.sqrt(z.var() + 1e-6)
    unit = (z - z.mean()) / spread
    pushed = GAIN * (GAIN * unit + SHIFT - target[0])
    fused = (SIZE * pushed - pushed.sum() - unit * (pushed * unit).sum()) / (SIZE * spread)
    same(found, np.outer(fused, key[0]))
    numeric, h = np.zeros_like(start), 1e-6
    for index in np.ndindex(start.shape):
        nudge = np.zeros_like(start)
        nudge[index] = h
        numeric[index] = (value(start + nudge) - value(start - nudge)) / (2 * h)
    same(found, numeric, 1e-6)


def test_a_frozen_chunk_has_a_dual_form_without_weights_per_token() -> None:
    """Reads of all tokens of a chunk as masked products: beta, F and G of decay and momentum."""
    spec: Spec = {"activation": "tanh", "norm": "none", "residual": False}
    whole = {
        "architecture": {"kind": "mlp", "expansion": 2.0, **spec},
        "retention": "decay",
        "optimizer": {"kind": "momentum", "gradient_at": "anchor", "chunk": TIME, "scale": "chunk"},
    }
    gates = {"decay": SEEN.decay, "step": SEEN.step, "momentum": SEEN.momentum}
    found = play(whole, *SEEN[:3], gates, first(spec)).output
    inner, outer = first(spec)["layer_0"], first(spec)["layer_1"]
    hidden = np.tanh(SEEN.key @ inner.T)
    error = hidden @ outer.T - SEEN.value
    pushed = (error @ outer) * (1 - hidden**2)
    kept = np.cumprod(SEEN.decay)
    weight = np.zeros((TIME, TIME))  # of the gradient of token j in the weights of token t
    for t in range(TIME):
        for j in range(t + 1):
            for i in range(j, t + 1):
                carried = np.prod(SEEN.momentum[j + 1 : i + 1])
                weight[t, j] += kept[t] / kept[i] * carried * SEEN.step[j] / TIME
    inside = kept[:, None] * (SEEN.query @ inner.T) - (weight * (SEEN.query @ SEEN.key.T)) @ pushed
    seen = np.tanh(inside)
    same(found, kept[:, None] * (seen @ outer.T) - (weight * (seen @ hidden.T)) @ error)


def test_a_residual_needs_key_and_value_of_one_size() -> None:
    gates = {"step": 0.1, "norm_gain": 1.0, "norm_shift": 0.0}
    with pytest.raises(SpecError, match=r"size 4, .* size 3: give key and value one size"):
        play({"architecture": "mlp"}, SEEN.query, SEEN.key, SEEN.value[:, :3], gates)


def test_one_layer_without_norm_and_residual_is_a_matrix() -> None:
    """An mlp of depth 1 without norm and residual is architecture matrix."""
    spec: Spec = {"depth": 1, "norm": "none", "residual": False}
    gates = {"step": SEEN.step}
    one = play({"architecture": {"kind": "mlp", **spec}}, *SEEN[:3], gates, first(spec)).output
    start = {"matrix": first(spec)["layer_0"]}
    same(one, play({"architecture": "matrix"}, *SEEN[:3], gates, start).output)
