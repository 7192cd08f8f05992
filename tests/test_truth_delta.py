"""The definition against independent statements: matrix memories under the squared error.

Each test restates the mathematics in a few lines of numpy, in another form than the recurrence
wherever the literature has one: closed minimisers, exponentials, triangular solves.
"""

from typing import Any

import numpy as np
import pytest
import torch
from plain import Tokens, draw, play, ratios, same

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(7)
START = DICE.normal(size=(VALUE, KEY)) * 0.3
LONG = DICE.uniform(0.5, 2, (TIME, 1))  # lengths of keys that are not 1
PER_KEY = DICE.uniform(0.6, 1, (TIME, KEY))
PER_VALUE = DICE.uniform(0.6, 1, (TIME, VALUE))


def matrix(bias: str = "l2", axis: str = "", kind: str = "gd", **fields: Any) -> Spec:
    """A matrix memory on raw keys; `axis` is the axis of its decay, empty for none."""
    return {
        "architecture": "matrix",
        "bias": bias,
        "retention": {"kind": "decay", "axis": axis} if axis else "none",
        "optimizer": {"kind": kind, **fields},
    }


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


@pytest.mark.parametrize("gradient_at", ["retained", "previous"])
@pytest.mark.parametrize("axis", ["", "scalar", "key", "value", "both"])
def test_delta_rule(seen: Tokens, axis: str, gradient_at: str) -> None:
    """W_t = D(W) - step (W' k - v) k^T with W' = D(W) or W."""
    key = seen.key * LONG
    gates = {"step": seen.step, "decay": seen.decay, "decay_key": PER_KEY, "decay_value": PER_VALUE}
    found = play(matrix("l2", axis, gradient_at=gradient_at), seen.query, key, seen.value, gates,
                 {"matrix": START})  # fmt: skip
    left = PER_VALUE if axis in ("value", "both") else np.ones((TIME, VALUE))
    right = PER_KEY if axis in ("key", "both") else np.ones((TIME, KEY))
    if axis == "scalar":
        right = np.repeat(seen.decay[:, None], KEY, axis=1)
    weights, wanted = START, []
    for t in range(TIME):
        kept = left[t][:, None] * weights * right[t]
        at = kept if gradient_at == "retained" else weights
        weights = kept - seen.step[t] * np.outer(at @ key[t] - seen.value[t], key[t])
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.weights["matrix"], weights)


def test_decay_before_or_after_the_error_are_two_memories(seen: Tokens) -> None:
    gates = {"step": seen.step, "decay": seen.decay}
    early, late = (
        play(matrix("l2", "scalar", gradient_at=at), *seen[:3], gates).output
        for at in ("previous", "retained")
    )
    assert np.abs(early - late).max() > 1e-2
    # Before the decay: as after it, with the erasing step divided by the decay (rule R6).
    weights, wanted = np.zeros((VALUE, KEY)), []
    for t in range(TIME):
        kept, k = seen.decay[t] * weights, seen.key[t]
        erased = kept - seen.step[t] / seen.decay[t] * np.outer(kept @ k, k)
        weights = erased + seen.step[t] * np.outer(seen.value[t], k)
        wanted.append(weights @ seen.query[t])
    same(early, np.array(wanted))


def test_implicit_step_is_the_minimiser(seen: Tokens) -> None:
    """argmin |W - W'|^2 / 2 + step |W k - v|^2 / 2, by its normal equations."""
    key, step = seen.key * LONG, 3 * seen.step
    gates = {"step": step, "decay": seen.decay}
    found = play(matrix("l2", "scalar", "implicit"), seen.query, key, seen.value, gates,
                 {"matrix": START})  # fmt: skip
    weights, wanted = START, []
    for t in range(TIME):
        normal = np.eye(KEY) + step[t] * np.outer(key[t], key[t])
        target = seen.decay[t] * weights + step[t] * np.outer(seen.value[t], key[t])
        weights = np.linalg.solve(normal.T, target.T).T
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


def test_exact_flow_is_the_matrix_exponential(seen: Tokens) -> None:
    """dW/ds = -(W k - v) k^T for a time `step`, as one linear system in [W, v]."""
    key, step = seen.key * LONG, 3 * seen.step
    gates = {"step": step, "decay": seen.decay}
    found = play(matrix("l2", "scalar", "exact_flow"), seen.query, key, seen.value, gates,
                 {"matrix": START})  # fmt: skip
    weights, wanted = START, []
    for t in range(TIME):
        system = np.zeros((KEY + 1, KEY + 1))
        system[:KEY, :KEY] = -np.outer(key[t], key[t])
        system[KEY, :KEY] = key[t]
        extended = np.concatenate((seen.decay[t] * weights, seen.value[t][:, None]), axis=1)
        flow = torch.matrix_exp(torch.from_numpy(step[t] * system)).numpy()
        weights = (extended @ flow)[:, :KEY]
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


def test_gated_delta_rule_is_one_triangular_solve(seen: Tokens) -> None:
    """The WY form over the whole sequence: (I + L) U = step (V - carried)."""
    gates = {"step": seen.step, "decay": seen.decay}
    found = play(matrix("l2", "scalar"), *seen[:3], gates, {"matrix": START}).output
    mask, carried = ratios(seen.decay), np.cumprod(seen.decay)[:, None]
    lower = np.tril(seen.step[:, None] * mask * (seen.key @ seen.key.T), -1)
    right = seen.step[:, None] * (seen.value - carried * (seen.key @ START.T))
    pseudo = np.linalg.solve(np.eye(TIME) + lower, right)
    same(found, carried * (seen.query @ START.T) + (mask * (seen.query @ seen.key.T)) @ pseudo)


def test_kimi_delta_attention_is_diagonal_plus_rank_one(seen: Tokens) -> None:
    """S_t = (Diag(a) - step k (a * k)^T) S_{t-1} + step k v^T, with S = W^T."""
    gates = {"step": seen.step, "decay_key": PER_KEY}
    found = play(matrix("l2", "key"), *seen[:3], gates).output
    state, wanted = np.zeros((KEY, VALUE)), []
    for t in range(TIME):
        k, a = seen.key[t], PER_KEY[t]
        transition = np.diag(a) - np.outer(seen.step[t] * k, a * k)
        state = transition @ state + seen.step[t] * np.outer(k, seen.value[t])
        wanted.append(seen.query[t] @ state)
    same(found, np.array(wanted))


def test_key_decay_before_the_error_reads_at_divided_keys(seen: Tokens) -> None:
    gates = {"step": seen.step, "decay_key": PER_KEY}
    found = play(matrix("l2", "key", gradient_at="previous"), *seen[:3], gates).output
    weights, wanted = np.zeros((VALUE, KEY)), []
    for t in range(TIME):
        kept, k = weights * PER_KEY[t], seen.key[t]
        weights = kept - seen.step[t] * np.outer(kept @ (k / PER_KEY[t]) - seen.value[t], k)
        wanted.append(weights @ seen.query[t])
    same(found, np.array(wanted))


def test_linear_titans_is_affine_in_memory_and_surprise(seen: Tokens) -> None:
    """[M, S] moves by a fixed 2 x 2 matrix per entry plus a rank-one term."""
    gates = {"step": seen.step, "decay": seen.decay, "momentum": seen.momentum}
    spec = matrix("l2", "scalar", "momentum", gradient_at="previous")
    found = play(spec, *seen[:3], gates, {"matrix": START})
    both, wanted = np.concatenate((START, np.zeros_like(START)), axis=1), []
    for t in range(TIME):
        a, e, k = seen.decay[t], seen.momentum[t], seen.key[t]
        twice = np.concatenate((k, k))
        moved = np.kron(np.array([[a, 0], [e, e]]), np.eye(KEY))
        moved -= seen.step[t] * np.outer(np.concatenate((k, 0 * k)), twice)
        both = both @ moved + seen.step[t] * np.outer(seen.value[t], twice)
        wanted.append(both[:, :KEY] @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.state.buffers["momentum"]["matrix"][0, 0].numpy(), both[:, KEY:])


@pytest.mark.parametrize(("scale", "divisor"), [("chunk", 8), ("key_dim", KEY)])
def test_frozen_delta_rule_is_gated_linear_attention_on_residuals(
    seen: Tokens, scale: str, divisor: int
) -> None:
    chunk = 8
    spec = matrix("l2", "scalar", gradient_at="anchor", chunk=chunk, scale=scale)
    found = play(spec, *seen[:3], {"step": seen.step, "decay": seen.decay}, {"matrix": START})
    weights, wanted = START, []
    for first in range(0, TIME, chunk):
        part = slice(first, first + chunk)
        residual = seen.value[part] - seen.key[part] @ weights.T
        mask, steps = ratios(seen.decay[part]), seen.step[part] / divisor
        carried = np.cumprod(seen.decay[part])[:, None] * (seen.query[part] @ weights.T)
        scores = mask * (seen.query[part] @ seen.key[part].T) * steps
        wanted.append(carried + scores @ residual)
        kept = np.prod(seen.decay[part])
        weights = kept * weights + (mask[-1] * steps * residual.T) @ seen.key[part]
    same(found.output, np.concatenate(wanted))
    same(found.weights["matrix"], weights)


def test_refreshing_every_few_tokens_sums_gradients_at_stale_weights(seen: Tokens) -> None:
    every = 4
    spec = matrix("l2", "scalar", every=every, step={"kind": "sigmoid", "scale": 0.5})
    found = play(spec, *seen[:3],
                 {"step": seen.step / every, "decay": seen.decay}, {"matrix": START})  # fmt: skip
    weights, shown, wanted = START, START, []
    for t in range(TIME):
        error = shown @ seen.key[t] - seen.value[t]
        weights = seen.decay[t] * weights - seen.step[t] / every * np.outer(error, seen.key[t])
        if (t + 1) % every == 0:
            shown = weights
        wanted.append(shown @ seen.query[t])
    same(found.output, np.array(wanted))


@pytest.mark.parametrize("bias", ["dot", "l2"])
def test_decay_of_values_is_a_gauge(seen: Tokens, bias: str) -> None:
    """T18, R26: the undecayed memory on values divided by the product of decays, read times it."""
    gates = {"step": seen.step, "decay_value": PER_VALUE}
    found = play(matrix(bias, "value"), *seen[:3], gates).output
    product = np.cumprod(PER_VALUE, axis=0)
    plain = play(matrix(bias), seen.query, seen.key, seen.value / product, {"step": seen.step})
    same(found, product * plain.output)


@pytest.mark.parametrize(
    "spec", [matrix("huber", "value"), matrix("l2", "value", gradient_at="previous")]
)
def test_decay_of_values_is_no_gauge_elsewhere(seen: Tokens, spec: Spec) -> None:
    gates = {"step": seen.step, "decay_value": PER_VALUE}
    product = np.cumprod(PER_VALUE, axis=0)
    plain = play(spec | {"retention": "none"}, seen.query, seen.key, seen.value / product, gates)
    found = play(spec, *seen[:3], gates).output
    assert np.abs(found - product * plain.output).max() > 1e-2


def test_length_of_the_key_moves_into_step_and_value(seen: Tokens) -> None:
    """R20 for l2: (step, k, v) is (step |k|^2, k / |k|, v / |k|)."""
    gates = {"step": seen.step / 4, "decay": seen.decay}
    spec = matrix("l2", "scalar")
    found = play(spec, seen.query, seen.key * LONG, seen.value, gates).output
    gates = {"step": seen.step / 4 * LONG[:, 0] ** 2, "decay": seen.decay}
    same(found, play(spec, seen.query, seen.key, seen.value / LONG, gates).output)


@pytest.mark.parametrize("bias", ["dot", "l2", "l1", "huber", "lp"])
def test_common_factor_of_keys_moves_into_the_step(seen: Tokens, bias: str) -> None:
    """R20 for any error: (k, q, step) is (s k, s q, step / s^2)."""
    spec, s = matrix(bias, "scalar"), 2.5
    gates = {"step": seen.step / 4, "decay": seen.decay, "threshold": 1.0}
    found = play(spec, *seen[:3], gates).output
    gates["step"] = seen.step / 4 / s**2
    same(found, play(spec, s * seen.query, s * seen.key, seen.value, gates).output)
