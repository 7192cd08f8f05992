"""Gradients as what they are, one outer product per token and matrix, and weights made of them.

Layout `[batch, heads, time, ...]`; the weights of one head are `[batch, heads, *leaf]`. A matrix
enters an architecture as a function (see `miras.architecture.apply`), so neither the gradients nor
the weights of every token need be written out.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.architecture import Product, Weights
from miras.optimizer import Stepping
from miras.plans import network
from miras.plans.span import Sides
from miras.surprise import guard, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory


class Factor(NamedTuple):
    """Gradient of one leaf for every token, as error times input."""

    error: Tensor  # [..., time, rows]
    input: Tensor | None  # [..., time, columns]; none for a vector

    def outer(self) -> Tensor:
        """Written out, `[..., time, *leaf]`."""
        if self.input is None:
            return self.error
        return self.error[..., :, None] * self.input[..., None, :]


class Start(NamedTuple):
    """Weights of the start of a piece, by leaf, and how they fade."""

    weights: Weights
    fading: Mapping[str, Sides]


def gradients(
    memory: "Memory", at: Weights, pairs: Mapping[str, Tensor], constants: Mapping[str, Tensor]
) -> tuple[dict[str, Factor], dict[str, Tensor]]:
    """Gradient of every pair, all taken at the same weights, and their steps by axis."""
    architecture, step = memory.architecture, memory.stepping
    assert step is not None
    key, value, gates = pairs["key"], pairs["value"], {**pairs, **constants}

    prediction, pull, inputs = _respond(memory, at, key, gates)
    if memory.bias.target == "self_generated":
        value = architecture.predict(still(at, key.shape[-2]), value, gates)
    steps: dict[str, Tensor] = {}
    limit = None
    if memory.bias.window == 1:  # in a window it is the token that has a step, not the pair
        sensitivity = key[..., 0]
        if memory.bias.guarded or type(step).effective is not Stepping.effective:
            sensitivity = architecture.sensitivity(still(at, key.shape[-2]), key, gates)
        steps = step_sizes(step, gates, sensitivity, key.shape[-1])
        limit = guard(memory, steps, sensitivity)
    errors = pull(memory.bias.error(prediction, value, gates, limit))
    return {name: Factor(errors[name], inputs.get(name)) for name in at}, steps


def _respond(
    memory: "Memory", at: Weights, key: Tensor, gates: Mapping[str, Tensor]
) -> tuple[Tensor, network.Pull, dict[str, Tensor]]:
    """Prediction, the errors that meet each leaf from that of the prediction, leaves' inputs."""
    architecture = memory.architecture
    if (layers := architecture.network) is not None:
        return network.respond(layers, at, key, gates)

    def predict(offsets: Weights) -> tuple[Tensor, Weights]:
        inputs: Weights = {}

        def leaf(name: str) -> Tensor | Product:
            if at[name].ndim == 3:
                return at[name][..., None, :] + offsets[name]

            def product(z: Tensor) -> Tensor:
                inputs[name] = z
                return z @ at[name].mT + offsets[name]

            return product

        weights = cast(Weights, {name: leaf(name) for name in at})
        return architecture.predict(weights, key, gates), inputs

    # The derivative by something added to W z is the error that meets the input z of W.
    nothing = {name: key.new_zeros(*key.shape[:-1], leaf.shape[2]) for name, leaf in at.items()}
    prediction, pull, inputs = cast(Any, torch.func.vjp(predict, nothing, has_aux=True))
    return prediction, lambda error: pull(error)[0], inputs


def sized(
    memory: "Memory", factors: Mapping[str, Factor], steps: Mapping[str, Tensor]
) -> dict[str, Factor]:
    """Gradients times their own steps."""
    found: dict[str, Factor] = {}
    for name, leaf in memory.architecture.leaves(1, 1).items():
        error, seen = factors[name]
        for axis, size in steps.items():
            if axis == "":
                error = error * size[..., None]
            elif axis == leaf.axes[0]:
                error = error * size
            elif axis in leaf.axes and seen is not None:
                seen = seen * size
        found[name] = Factor(error, seen)
    return found


def late(missing: int, factor: Factor) -> Factor:
    """With zeros for the first tokens, which have no pair."""
    error, seen = factor
    seen = None if seen is None else F.pad(seen, (0, 0, missing, 0))
    return Factor(F.pad(error, (0, 0, missing, 0)), seen)


def still(weights: Weights, count: int) -> Weights:
    """The same weights for each of `count` tokens."""

    def leaf(tensor: Tensor) -> Tensor | Product:
        if tensor.ndim == 3:
            return tensor[..., None, :].expand(*tensor.shape[:2], count, -1)
        return lambda z: z @ tensor.mT

    return cast(Weights, {name: leaf(tensor) for name, tensor in weights.items()})


def moving(
    starts: Sequence[Start], factors: Mapping[str, Factor], fading: Mapping[str, Sides]
) -> Weights:
    """Weights of every token: what is left of the starts, minus what is left of the gradients."""

    def leaf(name: str) -> Tensor | Product:
        (error, seen), (rows, columns) = factors[name], fading[name]
        if seen is None:
            if rows.between is not None:
                found = -(rows.between @ error)
            else:
                ones = error.new_ones(error.shape[-2], error.shape[-2]).tril()
                found = -rows.mix(ones, error)
            for start in starts:
                line = start.weights[name][..., None, :]
                found = found + start.fading[name].rows.from_start(line)
            return found

        def product(z: Tensor) -> Tensor:
            found = -rows.mix(columns.pairs(z, seen), error)
            for start in starts:
                side = start.fading[name]
                kept = side.columns.from_start(z) @ start.weights[name].mT
                found = found + side.rows.from_start(kept)
            return found

        return product

    return cast(Weights, {name: leaf(name) for name in factors})


def ending(
    starts: Sequence[Start], factors: Mapping[str, Factor], fading: Mapping[str, Sides]
) -> Weights:
    """The weights after the last token, from the same."""
    found: Weights = {}
    for name, (error, seen) in factors.items():
        rows, columns = fading[name]
        late = rows.to_end(error)
        total = -late.sum(-2) if seen is None else -(late.mT @ columns.to_end(seen))
        for start in starts:
            leaf, side = start.weights[name], start.fading[name]
            if seen is None:
                total = total + side.rows.through(leaf[..., None, :])[..., 0, :]
            else:
                total = total + side.rows.through(side.columns.through(leaf).mT).mT
        found[name] = total
    return found
