"""What must hold of every part by itself."""

import inspect
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from miras.architecture import Architecture, Gates, Weights
from miras.bias import Bias
from miras.features import Features
from miras.gate import Gate, Site
from miras.load import dump, loads
from miras.optimizer import Optimizer, Stepping
from miras.part import Part
from miras.retention import Retention
from miras.testing.requirements import finite, like, normal, numbers, require, same
from miras.token import Token

DTYPES = (torch.float64, torch.float32)


def check_part(part: Part) -> None:
    """It survives YAML, JSON and pickle, can be hashed, and, as a leaf, says where it is from."""
    kind, name = type(part), repr(part)
    require(loads(dump(part), kind) == part, f"{name} changes when written to YAML and read")
    require(
        kind.model_validate_json(part.model_dump_json()) == part,
        f"{name} changes when written to JSON and read",
    )
    require(pickle.loads(pickle.dumps(part)) == part, f"{name} changes when pickled")
    require(hash(part) == hash(part.model_copy()), f"{name} and its copy have different hashes")
    text = inspect.getdoc(kind) or ""
    require(
        "Source:" in text or "neutral" in text or "kind" not in kind.model_fields,
        f"the docstring of {kind.__name__} names no source: add `Source: paper, equation`, or say"
        " that it is the neutral member of its axis",
    )


def check_bias(bias: Bias) -> None:
    """The error is the derivative of the loss, keeps its type, is finite, and is as declared."""
    for dtype in DTYPES:
        prediction, target = normal(2, 5, 3, dtype=dtype), normal(2, 5, 3, dtype=dtype, seed=1)
        gates = numbers(bias.uses(), prediction.shape[:-1], dtype)
        error = bias.error(prediction, target, gates)
        like(error, prediction, f"the error of {bias!r}")
        like(bias.loss(prediction, target, gates), prediction[..., 0], f"the loss of {bias!r}")
        # At the target, and far from it, where roots and powers are most at risk.
        finite(partial(_missed, bias, gates, 0.0), prediction, repr(bias))
        finite(partial(_missed, bias, gates, 1e3), prediction, repr(bias))
    prediction, target = normal(2, 5, 3), normal(2, 5, 3, seed=1)
    gates = numbers(bias.uses(), prediction.shape[:-1], torch.float64)
    error = bias.error(prediction, target, gates)
    if bias.has_loss:
        at = prediction.clone().requires_grad_()
        (slope,) = torch.autograd.grad(bias.loss(at, target, gates).sum(), at)
        same(error, slope, f"the error of {bias!r} is not the derivative of its loss")
    if bias.residual and bias.of_difference:
        moved = bias.error(prediction + 0.5, target + 0.5, gates)
        sentence = "sees more than prediction - target: say residual or of_difference = False"
        same(moved, error, f"{bias!r} {sentence}")
    elif not bias.residual:
        other = bias.error(prediction + 0.5, target, gates)
        same(other, error, f"{bias!r} looks at the prediction: say residual = True")
    if bias.linear:
        wanted = prediction - target if bias.residual else -target
        same(error, wanted, f"{bias!r} says linear, its error is no plain residual or target")
    if bias.coordinate_wise:
        first = bias.error(prediction[..., :1], target[..., :1], gates)
        same(first, error[..., :1], f"{bias!r} says coordinate_wise and mixes coordinates")
    if bias.bounded:
        near, far = (
            bias.error(prediction * size, target, gates).abs().max() for size in (1e4, 1e8)
        )
        require(bool(far < 2 * near), f"{bias!r} says bounded and grows with the residual")
    if bias.guarded:
        limit = torch.full((2, 5, 1), 0.1, dtype=torch.float64)
        error = bias.error(1e3 * prediction, target, gates, limit)
        largest = (1e3 * prediction - target).abs() * 0.1 * (1 + 1e-9)
        require(bool((error.abs() <= largest).all()), f"{bias!r} ignores the limit of its guard")


def check_retention(retention: Retention) -> None:
    """Link and unlink agree, keep their type, have finite derivatives, and are as declared."""
    for dtype in DTYPES:
        accumulator = normal(2, 3, 4, 5, dtype=dtype)
        weights = retention.link(accumulator)
        like(weights, accumulator, f"the link of {retention!r}")
        finite(retention.link, accumulator, f"the link of {retention!r}")
        like(retention.unlink(weights), weights, f"unlink of {retention!r}")
    accumulator = normal(2, 3, 4, 5)
    weights = retention.link(accumulator)
    if retention.identity_link:
        same(weights, accumulator, f"{retention!r} says identity_link and changes the accumulator")
    if retention.nonnegative:
        # Signed starting weights cannot be had: others are made of them.
        weights = retention.link(retention.unlink(accumulator))
        require(bool((weights >= 0).all()), f"{retention!r} says nonnegative and is negative")
    else:
        again = retention.link(retention.unlink(weights))
        same(again, weights, f"link and unlink of {retention!r} are no inverses", 1e-6)
    if retention.simplex_axis:
        sums = weights.sum(-1 if retention.simplex_axis == "key" else -2)
        same(sums, sums[:1, :1, :1].expand_as(sums), f"{retention!r} has slices of unlike sums")
    for use in retention.uses():
        if use.name.startswith("decay"):
            require(use.low >= 0 and use.high <= 1, f"{use.name} of {retention!r} leaves [0, 1]")


def check_features(features: Features) -> None:
    """Mapped keys have the declared size, sign and length, and see their own token only."""
    for dtype in DTYPES:
        query, key = normal(2, 5, 3, 4, dtype=dtype), normal(2, 5, 3, 4, dtype=dtype, seed=1)
        decay = {"decay_key": torch.sigmoid(normal(2, 5, 3, 4, dtype=dtype, seed=2))}
        constants = {
            signal.name: signal.mean + normal(*signal.shape, dtype=dtype, seed=3) / 4
            for signal in features.constants(3, 4)
        }
        gates = decay | constants
        places = torch.arange(5)
        mapped = features.map(query, key, gates, places)
        for tensor in mapped:
            wanted = query.new_empty(2, 5, 3, features.width(4))
            like(tensor, wanted, f"the map of {features!r}")
        later = {name: gate[:, 2:] for name, gate in decay.items()} | constants
        pieces = features.map(query[:, 2:], key[:, 2:], later, places[2:])
        for whole, piece in zip(mapped, pieces, strict=True):
            same(piece, whole[:, 2:], f"{features!r} mixes tokens", 1e-5)
        together = partial(_mapped, features, gates, places)
        finite(together, query, f"the map of {features!r}")
        if features.unit_norm:
            lengths = mapped[1].square().sum(-1)
            same(lengths, torch.ones_like(lengths), f"{features!r} says unit_norm", 1e-5)
        if features.nonnegative:
            least = min(tensor.min().item() for tensor in mapped)
            require(least >= 0, f"{features!r} says nonnegative and reaches {least:.2g}")
        if features.positive_kernel:
            kernel = torch.einsum("bthk,bshk->bhts", *mapped).min().item()
            require(kernel >= -1e-6, f"{features!r} says positive_kernel and reaches {kernel:.2g}")


def check_gate(gate: Gate) -> None:
    """A built gate has the shape and range of its site, and a gradient."""
    x = normal(2, 5, 6, dtype=torch.float32).requires_grad_()
    if gate.fixed is not None:
        require(math.isfinite(gate.fixed), f"{gate!r} is fixed at {gate.fixed}")
    if gate.derived:
        for value in (0.0, 0.5, 1.0):
            decay = torch.full((3,), value, requires_grad=True)
            finite(lambda a: gate.derive(a, torch.ones_like(a)), decay, repr(gate))
    if not gate.own:
        return
    for width in (0, 4):
        site = Site(
            "decay", dim=6, heads=3, width=width, low=0.0, high=1.0, layer=1, layers=2, chunk=4
        )
        left = torch.full((2, 5, *site.shape), 0.1)  # by the retention gate of the same layer
        shared = {"position": torch.arange(5), "timescale": left, "selection": left}
        found = cast(Tensor, gate.build(site)(x, shared))
        like(found, x.new_empty(2, 5, *site.shape), f"{gate!r} at a site of width {width}")
        if not gate.recurrent and not gate.derived and not gate.signed:
            require(bool((found >= 0).all()), f"{gate!r} is negative: gates are not")


def check_architecture(architecture: Architecture) -> None:
    """Predictions have the size of a value, keep their type, and are as declared."""
    if architecture.stores_pairs:
        return
    for dtype in DTYPES:
        leaves = architecture.leaves(4, 4)
        weights = {
            name: normal(2, 5, 3, *leaf.shape, dtype=dtype, seed=place)
            for place, (name, leaf) in enumerate(leaves.items())
        }
        key = normal(2, 5, 3, 4, dtype=dtype, seed=9)
        lookups, places = architecture.lookups, architecture.lookups * architecture.slots
        sizes = {"address": lookups, "place": places, "slot": architecture.slots}
        gates = numbers(architecture.uses(), key.shape[:-1], dtype, 4, sizes)
        for signal in architecture.constants(3, 4, 4):
            gates[signal.name] = normal(*signal.shape, dtype=dtype, seed=10) + signal.mean
        prediction = architecture.predict(weights, key, gates)
        like(prediction, key, f"the prediction of {architecture!r}")
        like(architecture.read(weights, key, gates), key, f"the read of {architecture!r}")
        finite(partial(_predicted, architecture, weights, gates), key, repr(architecture))
        if dtype == torch.float32:
            continue
        if architecture.linear:
            double = {name: 2 * leaf for name, leaf in weights.items()}
            same(
                architecture.predict(double, key, gates),
                2 * prediction,
                f"{architecture!r} says linear and is not, in its weights",
            )
        if not architecture.keyed:
            other = architecture.predict(weights, key + 1, gates)
            same(other, prediction, f"{architecture!r} looks at the key: say keyed = True")
        if architecture.factored:
            products = {
                name: _product(leaf, len(leaves[name].shape)) for name, leaf in weights.items()
            }
            same(
                architecture.predict(cast(Weights, products), key, gates),
                prediction,
                f"{architecture!r} says factored and uses a matrix other than by one `apply`",
            )


def check_optimizer(optimizer: Optimizer) -> None:
    """Changes are as declared, and buffers keep their names and shapes."""
    if not isinstance(optimizer, Stepping):
        return
    gradient = {"leaf": normal(2, 3, 4, 5)}
    buffers = {name: {"leaf": normal(2, 3, 4, 5, seed=1)} for name in optimizer.buffers}
    gates = numbers(optimizer.uses(), (2, 3), torch.float64, 5)
    key, value = normal(2, 3, 5, seed=2), normal(2, 3, 4, seed=3)
    token = Token(
        key, key, value, gates, 0, residual=value, weights={"leaf": normal(2, 3, 4, 5, seed=4)}
    )._replace(step=gates.get("step", normal(2, 3).exp()), prediction=value)
    buffers |= {
        name: buffer
        for name, buffer in optimizer.begin(gradient, key, value).items()
        if name not in buffers
    }
    change, after = optimizer.update(gradient, buffers, token)
    like(change["leaf"], gradient["leaf"], f"the change of {optimizer!r}")
    require(after.keys() <= buffers.keys(), f"{optimizer!r} changes which buffers it has")
    if optimizer.plain:
        same(change["leaf"], -gradient["leaf"], f"{optimizer!r} says plain and is not")
    if optimizer.heavy_ball:
        kept = gates["momentum"][..., None, None] * buffers["momentum"]["leaf"]
        wanted = kept - gradient["leaf"]
        for found in (change["leaf"], after["momentum"]["leaf"]):
            same(found, wanted, f"{optimizer!r} says heavy_ball and is not")


def _missed(bias: Bias, gates: Gates, by: float, prediction: Tensor) -> Tensor:
    return bias.error(prediction, prediction.detach() + by, gates)


def _mapped(features: Features, gates: Gates, places: Tensor, x: Tensor) -> Tensor:
    return torch.cat(features.map(x, x, gates, places), dim=-1)


def _predicted(architecture: Architecture, weights: Weights, gates: Gates, key: Tensor) -> Tensor:
    return architecture.predict(weights, key, gates)


def _product(leaf: Tensor, axes: int) -> Tensor | Callable[[Tensor], Tensor]:
    calls: list[int] = []

    def product(z: Tensor) -> Tensor:
        calls.append(1)
        require(len(calls) == 1, "a factored architecture uses each matrix once")
        return (leaf @ z[..., None])[..., 0]

    return product if axes == 2 else leaf
