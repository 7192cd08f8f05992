"""The definition against plain loops in numpy: retention that gives weights a shape.

Projections, proximal steps, divergences, links; and conditions of optimality where there are any.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain import Array, Played, Tokens, draw, play, same

from miras.retention import Retention
from miras.retention.elastic_net import ElasticNet
from miras.retention.f_divergence import FDivergence
from miras.retention.saturation import Saturation
from miras.token import Token

Spec = dict[str, Any]
Turn = Callable[[Array], Array]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(13)
START = DICE.normal(size=(VALUE, KEY)) * 0.3


def spec(retention: Any, bias: str = "l2", **fields: Any) -> Spec:
    network = {"kind": "mlp", "depth": 1, "norm": "none", "residual": False}
    optimizer = {"kind": "gd", **fields}
    return {
        "architecture": network, "bias": bias, "retention": retention, "optimizer": optimizer
    }  # fmt: skip


def matrix(retention: Any, bias: str = "l2", **fields: Any) -> Spec:
    return spec(retention, bias, **fields) | {"architecture": "matrix"}


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def delta(weights: Array, seen: Tokens, t: int) -> Array:
    return -seen.step[t] * np.outer(weights @ seen.key[t] - seen.value[t], seen.key[t])


def follows(found: Played, seen: Tokens, first: Array, decays: bool, settle: Turn) -> None:
    """Delta rule on the decayed weights, then `settle`."""
    weights, wanted = first, []
    for t in range(TIME):
        kept = (seen.decay[t] if decays else 1) * weights
        weights = settle(kept + delta(kept, seen, t))
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


# Projections

AXES = {"whole": None, "rows": 1, "columns": 0}


@pytest.mark.parametrize("over", AXES)
def test_ball_is_the_nearest_point_inside(seen: Tokens, over: str) -> None:
    gates = {"step": seen.step, "decay": seen.decay}
    retention = {"kind": "ball", "over": over, "radius": 0.6}
    found = play(spec(retention), *seen[:3], gates, {"layer_0": START})
    reached: list[float] = []

    def settle(w: Array) -> Array:
        norm = np.linalg.norm(w, axis=AXES[over], keepdims=True)
        reached.extend(np.ravel(norm))
        return np.where(norm > 0.6, 0.6 * w / norm, w)

    follows(found, seen, START, True, settle)
    assert min(reached) < 0.6 < max(reached) or over == "whole"
    norms = np.linalg.norm(found.weights["layer_0"], axis=AXES[over])
    assert np.max(norms) <= 0.6 + 1e-12


@pytest.mark.parametrize("tangent", [False, True])
@pytest.mark.parametrize("over", AXES)
def test_sphere(seen: Tokens, over: str, tangent: bool) -> None:
    retention = {"kind": "sphere", "over": over, "radius": 2.0, "tangent": tangent}
    found = play(spec(retention), *seen[:3], {"step": seen.step}, {"layer_0": START})
    weights, wanted = START, []
    for t in range(TIME):
        change = delta(weights, seen, t)
        if tangent:
            unit = weights / np.linalg.norm(weights, axis=AXES[over], keepdims=True)
            change = change - unit * (unit * change).sum(AXES[over], keepdims=True)
            same((unit * change).sum(AXES[over]), 0 * (unit * change).sum(AXES[over]))
        written = weights + change
        weights = 2 * written / np.linalg.norm(written, axis=AXES[over], keepdims=True)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))
    norms = np.linalg.norm(found.weights["layer_0"], axis=AXES[over])
    same(norms, np.full_like(norms, 2))


def test_row_norm_keeps_the_lengths_of_the_start(seen: Tokens) -> None:
    lengths = np.linalg.norm(START, axis=1, keepdims=True)
    found = play(spec("row_norm"), *seen[:3], {"step": seen.step}, {"layer_0": START})

    def settle(w: Array) -> Array:
        return w * lengths / np.linalg.norm(w, axis=1, keepdims=True)

    follows(found, seen, START, False, settle)
    same(np.linalg.norm(found.weights["layer_0"], axis=1, keepdims=True), lengths)


@pytest.mark.parametrize("retention", ["ball", "sphere", "row_norm", "saturation"])
def test_each_matrix_of_a_deep_memory_by_itself(seen: Tokens, retention: str) -> None:
    architecture = {"kind": "mlp", "expansion": 1.0, "residual": False}
    first = {"layer_0": DICE.normal(size=(KEY, KEY)), "layer_1": DICE.normal(size=(VALUE, KEY))}
    gates = {"step": seen.step, "decay": 1.0, "norm_gain": 1.0, "norm_shift": 0.0}
    found = play({"architecture": architecture, "retention": retention}, *seen[:3], gates, first)
    for name, leaf in found.weights.items():
        if retention == "ball":
            assert np.linalg.norm(leaf) <= 1 + 1e-12
        elif retention == "sphere":
            same(np.linalg.norm(leaf, axis=0), np.ones(leaf.shape[1]))
        elif retention == "row_norm":
            same(np.linalg.norm(leaf, axis=1), np.linalg.norm(first[name], axis=1))
        else:
            assert np.abs(leaf).max() < 1


# Soft thresholds and squashed weights


def settled(part: Retention, old: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """The weights after a write; `[1, 1, rows, columns]`."""
    vector = torch.zeros(1, 1, 1, dtype=torch.float64)
    token = Token(vector, vector, vector, {}, 0, weights={"w": old})
    return part.settle({"w": written}, {}, token)[0]["w"]


def shrunk(w: Array, smooth: bool = False) -> Array:
    if smooth:
        return np.abs(w) * np.arctan(w / 0.1) / (np.pi / 2)
    return np.sign(w) * np.maximum(0, np.abs(w) - 0.1)


@pytest.mark.parametrize("smooth", [False, True])
def test_elastic_net_step(seen: Tokens, smooth: bool) -> None:
    gates = {"step": seen.step, "decay": seen.decay}
    retention = {"kind": "elastic_net", "threshold": 0.1, "smooth": smooth}
    found = play(spec(retention), *seen[:3], gates, {"layer_0": START})
    follows(found, seen, START, True, lambda w: shrunk(w, smooth))
    if not smooth:
        assert (found.weights["layer_0"] == 0).any()


def test_soft_threshold_is_the_proximal_step() -> None:
    """0 lies in w - z + threshold * the subdifferential of |w|."""
    z = DICE.normal(size=(1, 1, 40, 5)) * 0.3
    w = settled(ElasticNet(threshold=0.1), torch.zeros(1, 1, 40, 5), torch.from_numpy(z)).numpy()
    assert 0 < (w == 0).mean() < 1
    same((w - z + 0.1 * np.sign(w))[w != 0], np.zeros((w != 0).sum()))
    assert np.abs(z[w == 0]).max() <= 0.1


def linked(retention: Retention, seen: Tokens, link: Turn, unlink: Turn) -> None:
    """A_t = decay A - step gradient at W = link(A)."""
    gates = {"step": seen.step, "decay": seen.decay}
    data = retention.model_dump()
    found = play(spec(data, gradient_at="previous"), *seen[:3], gates, {"layer_0": START})
    dual, wanted = unlink(START), []
    same(link(dual), START, 1e-7)
    for t in range(TIME):
        dual = seen.decay[t] * dual + delta(link(dual), seen, t)
        wanted.append(link(dual) @ seen.query[t])
    same(found.output, np.array(wanted), 1e-7)


def test_elastic_net_dual(seen: Tokens) -> None:
    part = ElasticNet(form="dual", threshold=0.1)
    linked(part, seen, shrunk, lambda w: w + 0.1 * np.sign(w))


def test_elastic_net_dual_smooth(seen: Tokens) -> None:
    def unlink(w: Array) -> Array:
        low, high = np.zeros_like(w), np.abs(w) + 1
        for _ in range(200):
            middle = (low + high) / 2
            above = shrunk(middle, True) > np.abs(w)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.sign(w) * low

    linked(ElasticNet(form="dual", threshold=0.1, smooth=True), seen,
           lambda w: np.sign(w) * shrunk(np.abs(w), True), unlink)  # fmt: skip


def test_dual_tanh_is_mirror_descent(seen: Tokens) -> None:
    linked(Saturation(form="dual"), seen, np.tanh, np.arctanh)


def test_saturation(seen: Tokens) -> None:
    """A recurrent network whose state is a matrix: W = tanh(alpha W + step v k^T)."""
    gates = {"step": seen.step, "decay": seen.decay}
    found = play(matrix("saturation", "dot"), *seen[:3], gates, {"matrix": START})
    weights, wanted = START, []
    for t in range(TIME):
        written = seen.step[t] * np.outer(seen.value[t], seen.key[t])
        weights = np.tanh(seen.decay[t] * weights + written)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


def test_sigmoid_link_is_mirror_descent_with_the_entropy_of_coins(seen: Tokens) -> None:
    """W in odds: W / (1 - W) = old odds ^ decay * exp(change)."""
    gates = {"step": seen.step, "decay": seen.decay}
    found = play(matrix("sigmoid", gradient_at="previous"), *seen[:3], gates, {"matrix": START})
    odds, wanted = np.exp(START), []
    for t in range(TIME):
        odds = odds ** seen.decay[t] * np.exp(delta(odds / (1 + odds), seen, t))
        wanted.append(odds / (1 + odds) @ seen.query[t])
    same(found.output, np.array(wanted))
    assert 0 < found.exposed["matrix"].min() < found.exposed["matrix"].max() < 1


# Divergences on a simplex

SLOPES: dict[str, Turn] = {  # f', the derivative of the divergence
    "kl": lambda x: 1 + np.log(x),
    "chi2": lambda x: x - 1,
    "reverse_kl": lambda x: -1 / x,
}


@pytest.mark.parametrize("over", ["columns", "rows"])
@pytest.mark.parametrize("divergence", SLOPES)
def test_f_divergence_by_bisection(seen: Tokens, divergence: str, over: str) -> None:
    retention = {"kind": "f_divergence", "divergence": divergence, "over": over, "total": 3.0}
    found = play(matrix(retention), *seen[:3], {"step": seen.step}, {"matrix": START})
    axis = 1 if over == "columns" else 0
    weights = 3 * np.exp(START) / np.exp(START).sum(axis, keepdims=True)
    wanted: list[Array] = []
    for t in range(TIME):
        change = delta(weights, seen, t)

        def at(zeta: Array, old: Array = weights, change: Array = change) -> Array:
            u = change - zeta
            if divergence == "kl":
                return old * np.exp(u - 1)
            if divergence == "chi2":
                return old * np.maximum(0, 1 + u)
            return np.where(u < 0, old / np.where(u < 0, -u, 1), np.inf)

        low = np.full_like(weights.sum(axis, keepdims=True), -50.0)
        high = -low
        for _ in range(200):
            middle = (low + high) / 2
            much = at(middle).sum(axis, keepdims=True) > 3
            low, high = np.where(much, middle, low), np.where(much, high, middle)
        weights = at(high)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.weights["matrix"].sum(axis), np.full(weights.sum(axis).shape, 3.0), 1e-12)
    assert found.weights["matrix"].min() >= 0


@pytest.mark.parametrize("divergence", ["kl", "chi2", "reverse_kl"])
def test_f_divergence_satisfies_its_optimality_condition(divergence: Any) -> None:
    """f'(W / W') - change is one number per slice where W > 0, and not below it where W = 0."""
    part = FDivergence(divergence=divergence)
    old = torch.softmax(torch.randn(1, 1, 7, 9).double(), -1)
    for size in (0.1, 1.0, 10.0):
        change = size * torch.randn(1, 1, 7, 9).double()
        new = settled(part, old, old + change).numpy()[0, 0]
        same(new.sum(-1), np.ones(7), 1e-6)
        ratio = new / old.numpy()[0, 0]
        with np.errstate(divide="ignore"):
            slope = SLOPES[divergence](ratio) - change.numpy()[0, 0]
        for row, there in zip(slope, new > 0, strict=True):
            assert np.ptp(row[there]) < 1e-7 * (1 + np.abs(row[there]).max())
            assert (row[~there] > row[there].max() - 1e-9).all()


@pytest.mark.parametrize("divergence", ["chi2", "reverse_kl"])
def test_gradients_pass_through_the_root(divergence: Any) -> None:
    part = FDivergence(divergence=divergence)
    old = torch.softmax(torch.randn(1, 1, 3, 4).double(), -1).requires_grad_()
    change = (0.3 * torch.randn(1, 1, 3, 4).double()).requires_grad_()

    def moved(old: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        return settled(part, old, old + change)

    assert torch.autograd.gradcheck(moved, (old, change))


def test_kl_is_the_simplex_link(seen: Tokens) -> None:
    """R23: exponentiated gradient, by a root and by logits."""
    gates = {"step": seen.step, "decay": 1.0}
    one, other = (
        play(matrix(retention), *seen[:3], gates, {"matrix": START}).output
        for retention in ({"kind": "f_divergence", "divergence": "kl"}, "simplex")
    )
    same(one, other)
