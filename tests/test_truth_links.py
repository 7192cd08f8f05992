"""The definition against independent statements: links, robust errors, limits of both."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain import Array, Tokens, draw, play, same

import miras.memory
from miras.retention.lq import Lq

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(11)
START = DICE.normal(size=(VALUE, KEY)) * 0.3
PER_KEY = DICE.uniform(0.7, 1, (TIME, KEY))
PER_VALUE = DICE.uniform(0.7, 1, (TIME, VALUE))


def matrix(bias: Any, retention: Any = "none", **fields: Any) -> Spec:
    """A matrix memory with small steps, so that no rule stands in the way."""
    step = {"kind": "sigmoid", "scale": 0.1}
    optimizer = {"kind": "gd", "step": step, **fields}
    return {
        "architecture": "matrix", "bias": bias, "retention": retention, "optimizer": optimizer
    }  # fmt: skip


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def _tensor(x: Array) -> torch.Tensor:
    return torch.from_numpy(x.copy())


def norm(x: Array, p: float) -> float:
    return float((np.abs(x) ** p).sum() ** (1 / p))


def softmax(x: Array, axis: int) -> Array:
    raised = np.exp(x - x.max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


# Errors, restated from the papers: MIRAS equations 9 to 16 with the factors that the parts name.

ERRORS: dict[str, tuple[Any, Callable[[Array], Array]]] = {
    "l2": ("l2", lambda r: r),
    "l1": ({"kind": "l1", "smoothing": 1e-16}, np.sign),
    "l1, smooth": ({"kind": "l1", "smoothing": 0.04}, lambda r: r / np.hypot(r, 0.2)),
    "l_3": ({"kind": "lp", "p": 3.0, "smoothing": 0.0}, lambda r: np.sign(r) * r**2),
    "l_1.5": ({"kind": "lp", "p": 1.5, "smoothing": 0.0}, lambda r: np.sign(r) * abs(r) ** 0.5),
    "huber": ("huber", lambda r: np.clip(r, -0.8, 0.8)),
    "huber, norm": (
        {"kind": "huber", "form": "norm"},
        lambda r: r * min(1, 0.8 / float(np.linalg.norm(r))),
    ),
    "huber, switch": (
        {"kind": "huber", "form": "switch", "smoothing": 1e-16},
        lambda r: r if np.linalg.norm(r) <= 0.8 else 0.8 * np.sign(r),
    ),
}


@pytest.mark.parametrize("gradient_at", ["retained", "previous"])
@pytest.mark.parametrize("error", ERRORS)
def test_any_error_is_a_forward_substitution(seen: Tokens, error: str, gradient_at: str) -> None:
    """Row by row from the products of keys alone: no weights are formed on the way."""
    bias, psi = ERRORS[error]
    threshold = {"kind": "constant", "value": 0.8}
    if "huber" in error:
        bias = {"threshold": threshold} | (bias if isinstance(bias, dict) else {"kind": bias})
    retention = {"kind": "decay", "axis": "both"}
    step = 0.1 * seen.step
    gates = {"step": step, "decay_key": PER_KEY, "decay_value": PER_VALUE}
    found = play(matrix(bias, retention, gradient_at=gradient_at), *seen[:3], gates,
                 {"matrix": START})  # fmt: skip
    left, right = np.cumsum(np.log(PER_VALUE), 0), np.cumsum(np.log(PER_KEY), 0)
    rows: list[Array] = []

    def read(address: Array, now: int, upto: int) -> Array:
        """The memory of token `now` (-1: the first one) with the first `upto` writes."""
        at = (left[now], right[now]) if now >= 0 else (np.zeros(VALUE), np.zeros(KEY))
        total = np.exp(at[0]) * (START @ (np.exp(at[1]) * address))
        for s in range(upto):
            product = address @ (np.exp(at[1] - right[s]) * seen.key[s])
            total = total + product * np.exp(at[0] - left[s]) * rows[s]
        return total

    wanted = []
    for t in range(TIME):
        residual = read(seen.key[t], t if gradient_at == "retained" else t - 1, t) - seen.value[t]
        rows.append(-step[t] * psi(residual))
        wanted.append(read(seen.query[t], t, t + 1))
    same(found.output, np.array(wanted))


def test_huber_of_the_norm_clips_the_residual(seen: Tokens) -> None:
    """r or d r / |r|: a step along a residual of length at most d."""
    for residual in seen.value:
        clipped = residual if norm(residual, 2) <= 0.8 else 0.8 * residual / norm(residual, 2)
        same(ERRORS["huber, norm"][1](residual), clipped)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "huber", "threshold": {"kind": "constant", "value": 1e9}}, "l2"),
        ({"kind": "huber", "form": "norm", "threshold": {"kind": "constant", "value": 1e9}}, "l2"),
        (
            {"kind": "huber", "form": "switch", "threshold": {"kind": "constant", "value": 1e9}},
            "l2",
        ),
        ({"kind": "lp", "p": 2.0, "smoothing": 0.0}, "l2"),
        ({"kind": "lp", "p": 1.0, "smoothing": 0.04}, {"kind": "l1", "smoothing": 0.04}),
    ],
)
def test_limits_of_errors(seen: Tokens, one: Any, other: Any) -> None:
    """R21: special settings are other members of the axis."""
    first, second = (
        play(matrix(bias, "decay"), *seen[:3], {"step": 0.1, "decay": seen.decay}).output
        for bias in (one, other)
    )
    same(first, second)


def test_limits_of_optimizers_and_retention(seen: Tokens) -> None:
    """R21, R22: momentum 0, decay 1 and a chunk of one token are the neutral members."""
    gates = {"step": seen.step / 10, "momentum": 0.0, "decay": 1.0}
    plain = play(matrix("l2"), *seen[:3], gates).output
    same(play(matrix("l2", kind="momentum"), *seen[:3], gates).output, plain)
    same(play(matrix("l2", "decay"), *seen[:3], gates).output, plain)
    gates["decay"] = seen.decay
    previous = play(matrix("l2", "decay", gradient_at="previous"), *seen[:3], gates).output
    same(play(matrix("l2", "decay", gradient_at="anchor"), *seen[:3], gates).output, previous)


def test_cubic_steps_diverge_and_the_guard_bounds_them(seen: Tokens) -> None:
    """T15: sign(r) |r|^2 explodes; with |error| <= |r| / (step |k|^2) no step passes its target."""
    key, step = 1.5 * seen.key, np.full(TIME, 0.9)
    weights, guarded, wanted = 5 * START, 5 * START, []
    with np.errstate(all="ignore"):
        for t in range(TIME):
            residual = weights @ key[t] - 3 * seen.value[t]
            weights = weights - step[t] * np.outer(np.sign(residual) * residual**2, key[t])
            residual = guarded @ key[t] - 3 * seen.value[t]
            size = np.minimum(np.abs(residual), 1 / (step[t] * (key[t] @ key[t])))
            guarded = guarded - step[t] * np.outer(residual * size, key[t])
            wanted.append(guarded @ seen.query[t])
    assert not np.abs(weights).max() < 1e6
    bias = {"kind": "lp", "p": 3.0, "smoothing": 0.0}
    found = play(matrix(bias), seen.query, key, 3 * seen.value, {"step": step},
                 {"matrix": 5 * START})  # fmt: skip
    same(found.output, np.array(wanted))


# Links


@pytest.mark.parametrize("over", ["columns", "rows"])
def test_simplex_is_multiplicative_weights(seen: Tokens, over: str) -> None:
    """W_t = W_{t-1}^decay exp(-step gradient), normalised at every token (MIRAS, equation 27)."""
    axis = -1 if over == "columns" else -2
    gates = {"step": 0.1, "decay": seen.decay}
    spec = matrix("l2", {"kind": "simplex", "over": over, "total": 2.0}, gradient_at="previous")
    found = play(spec, *seen[:3], gates, {"matrix": START})
    weights, wanted = softmax(START, axis), []
    for t in range(TIME):
        error = 2 * weights @ seen.key[t] - seen.value[t]
        raised = weights ** seen.decay[t] * np.exp(-0.1 * np.outer(error, seen.key[t]))
        weights = raised / raised.sum(axis, keepdims=True)
        wanted.append(2 * weights @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.exposed["matrix"].sum(axis), np.full((VALUE, KEY)[axis + 1], 2.0))


@pytest.mark.parametrize("axis", ["key", "value"])
def test_simplex_needs_one_decay_along_its_axis(
    seen: Tokens, axis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2: with a decay per key channel the logits are no longer those of multiplicative weights."""
    monkeypatch.setattr(miras.memory, "RULES", [])
    spec = matrix("dot", {"kind": "simplex", "axis": axis})
    gates = {"step": 0.1, "decay_key": PER_KEY, "decay_value": PER_VALUE}
    found = play(spec, *seen[:3], gates, {"matrix": START}).exposed["matrix"]
    weights = softmax(START, -1)
    for t in range(TIME):
        decay = PER_KEY[t] if axis == "key" else PER_VALUE[t][:, None]
        weights = weights**decay * np.exp(0.1 * np.outer(seen.value[t], seen.key[t]))
        weights = weights / weights.sum(-1, keepdims=True)
    if axis == "value":
        same(found, weights)
    else:
        assert np.abs(found - weights).max() > 1e-3


def test_lq_exact_is_the_gradient_of_the_dual_norm() -> None:
    """A is the gradient of |W|_q^2 / (2 (q - 1)) at W = link(A)."""
    dual = DICE.normal(size=(VALUE, KEY))
    for q in (1.25, 1.5, 1.9, 2.0):
        link = Lq(form="exact", q=q)
        weights = link.link(_tensor(dual)).numpy()
        gradient = np.sign(weights) * np.abs(weights) ** (q - 1) * norm(weights, q) ** (2 - q)
        same(gradient / (q - 1), dual)
        same(link.unlink(_tensor(weights)).numpy(), dual)


def test_lq_paper_is_another_link() -> None:
    """It lacks the power of each entry; the two agree at q = 2 only."""
    dual = DICE.normal(size=(VALUE, KEY))
    same(Lq(form="paper", q=2.0).link(_tensor(dual)).numpy(), dual)
    same(Lq(form="exact", q=2.0).link(_tensor(dual)).numpy(), dual)
    p = 3.0  # of q = 1.5
    exact = Lq(form="exact", q=1.5).link(_tensor(dual)).numpy()
    same(exact, 0.5 * np.sign(dual) * dual**2 / norm(dual, p))
    printed = dual / norm(dual, p)
    scale = (exact * printed).sum() / (printed**2).sum()
    assert np.abs(exact - scale * printed).max() > 1e-2


def test_lq_paper_at_four_is_its_own_inverse() -> None:
    """Moneta: W = A / |A|_4^2, A = W / |W|_4^2, |W|_4 = 1 / |A|_4."""
    dual, link = DICE.normal(size=(VALUE, KEY)), Lq(form="paper", q=4.0)
    weights = link.link(_tensor(dual)).numpy()
    same(weights, dual / norm(dual, 4) ** 2)
    same(link.link(_tensor(weights)).numpy(), dual)
    same(link.unlink(_tensor(weights)).numpy(), dual)
    assert norm(weights, 4) == pytest.approx(1 / norm(dual, 4))


@pytest.mark.parametrize("q", [2.0, 2.5, 2.75, 3.5, 4.0])
def test_lq_starts_at_the_initial_weights(q: float) -> None:
    link = Lq(form="paper", q=q)
    same(link.link(link.unlink(_tensor(START))).numpy(), START, 1e-7)


@pytest.mark.parametrize("form", ["paper", "exact"])
def test_lq_is_linear_retention_behind_a_link(seen: Tokens, form: str) -> None:
    """MIRAS, equations 24 and 25, on one layer: A decays and is written, W = link(A) is seen."""
    q = 4.0 if form == "paper" else 1.5
    spec = {
        "architecture": {
            "kind": "mlp", "depth": 1, "norm": "none", "residual": False
        },
        "retention": {"kind": "lq", "form": form, "q": q},
        "optimizer": {"kind": "gd", "gradient_at": "previous"},
    }  # fmt: skip
    gates = {"step": 0.05, "decay": seen.decay}
    found = play(spec, *seen[:3], gates, {"layer_0": START})

    def link(a: Array) -> Array:
        if form == "paper":
            return a / norm(a, 4) ** 2
        return 0.5 * np.sign(a) * a**2 / norm(a, 3)

    weights, wanted = START, []
    dual = START / norm(START, 4) ** 2
    if form == "exact":
        dual = 2 * np.sign(START) * np.abs(START) ** 0.5 * norm(START, 1.5) ** 0.5
    for t in range(TIME):
        error = weights @ seen.key[t] - seen.value[t]
        dual = seen.decay[t] * dual - 0.05 * np.outer(error, seen.key[t])
        weights = link(dual)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted), 1e-7)
