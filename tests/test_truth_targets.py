"""What a memory is compared with, and over how many tokens, against plain loops."""

from typing import Any

import numpy as np
import pytest
from plain import Array, Tokens, draw, play, same

Spec = dict[str, Any]
TIME, SIZE = 18, 5


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, SIZE, SIZE)


def matrix(bias: Any, gradient_at: str = "retained") -> Spec:
    return {
        "architecture": "matrix",
        "bias": bias,
        "retention": {"kind": "decay", "axis": "scalar"},
        "optimizer": {"kind": "gd", "gradient_at": gradient_at},
    }


def gates(seen: Tokens) -> dict[str, Array]:
    return {"step": 0.5 * seen.step, "decay": seen.decay}


def delta(seen: Tokens, target: Any) -> Array:
    """Reads of W <- a W - s (a W k - target(W, t)) k^T; a target of None writes nothing."""
    weights, found = np.zeros((SIZE, SIZE)), []
    for t in range(TIME):
        weights = seen.decay[t] * weights
        wanted = target(weights, t)
        if wanted is not None:
            error = weights @ seen.key[t] - wanted
            weights = weights - 0.5 * seen.step[t] * np.outer(error, seen.key[t])
        found.append(weights @ seen.query[t])
    return np.array(found)


def test_value(seen: Tokens) -> None:
    found = play(matrix("l2"), *seen[:3], gates(seen)).output
    same(found, delta(seen, lambda _, t: seen.value[t]))


def test_value_minus_key(seen: Tokens) -> None:
    """TTT: the memory learns what is to be added to the key."""
    spec = matrix({"kind": "l2", "target": "value_minus_key"})
    found = play(spec, *seen[:3], gates(seen)).output
    same(found, delta(seen, lambda _, t: seen.value[t] - seen.key[t]))


def test_reconstruction(seen: Tokens) -> None:
    """The value is not looked at."""
    spec = matrix({"kind": "l2", "target": "reconstruction"})
    found = play(spec, seen.query, seen.key, np.full_like(seen.value, 7), gates(seen)).output
    same(found, delta(seen, lambda _, t: seen.key[t]))


def test_self_generated(seen: Tokens) -> None:
    """The memory's own answer to the value, at the weights where the gradient is taken."""
    spec = matrix({"kind": "l2", "target": "self_generated"})
    spec["architecture"] = {"kind": "matrix", "initial_std": 0.3}
    start = np.random.default_rng(3).normal(size=(SIZE, SIZE)) * 0.3
    found = play(spec, *seen[:3], gates(seen), {"matrix": start}).output
    weights, wanted = start, []
    for t in range(TIME):
        weights = seen.decay[t] * weights
        error = weights @ seen.key[t] - weights @ seen.value[t]
        weights = weights - 0.5 * seen.step[t] * np.outer(error, seen.key[t])
        wanted.append(weights @ seen.query[t])
    same(found, np.array(wanted))


def test_next_value(seen: Tokens) -> None:
    """Lookahead: key t is written when value t + 1 has come, with the step of token t."""
    spec = matrix({"kind": "l2", "target": "next_value"})
    found = play(spec, *seen[:3], gates(seen)).output
    weights, wanted = np.zeros((SIZE, SIZE)), []
    for t in range(TIME):
        weights = seen.decay[t] * weights
        if t:
            error = weights @ seen.key[t - 1] - seen.value[t]
            weights = weights - 0.5 * seen.step[t - 1] * np.outer(error, seen.key[t - 1])
        wanted.append(weights @ seen.query[t])
    same(found, np.array(wanted))


@pytest.mark.parametrize("early", [False, True], ids=["retained", "previous"])
@pytest.mark.parametrize("window", [2, 5, 40])
def test_omega_is_a_step_of_rank_window(seen: Tokens, window: int, early: bool) -> None:
    """W (alpha I - s sum g phi phi^T) + s sum g v phi^T (catalogue, section 2.6)."""
    bias = {"kind": "l2", "window": window, "discount": 0.8}
    step = seen.step / window
    numbers = {"step": step, "decay": seen.decay}
    spec = matrix(bias, "previous" if early else "retained")
    spec["optimizer"]["step"] = {"kind": "sigmoid", "scale": 0.25}  # 5 gradients count together
    found = play(spec, *seen[:3], numbers).output
    weights, wanted = np.zeros((SIZE, SIZE)), []
    for t in range(TIME):
        first = max(0, t - window + 1)
        share = 0.8 ** np.arange(t - first, -1, -1)
        keys, values = seen.key[first : t + 1], seen.value[first : t + 1]
        gram, pairs = keys.T @ (share[:, None] * keys), values.T @ (share[:, None] * keys)
        kept = np.eye(SIZE) * seen.decay[t]
        at = np.eye(SIZE) if early else kept
        weights = weights @ (kept - step[t] * at @ gram) + step[t] * pairs
        wanted.append(weights @ seen.query[t])
    same(found, np.array(wanted))


def test_a_window_of_inner_products_repeats_the_writes(seen: Tokens) -> None:
    """SWLA: every token writes the last `window` pairs with its own step."""
    found = play(matrix({"kind": "dot", "window": 4}), *seen[:3], gates(seen)).output
    weights, wanted = np.zeros((SIZE, SIZE)), []
    for t in range(TIME):
        weights = seen.decay[t] * weights
        for i in range(max(0, t - 3), t + 1):
            weights = weights + 0.5 * seen.step[t] * np.outer(seen.value[i], seen.key[i])
        wanted.append(weights @ seen.query[t])
    same(found, np.array(wanted))
