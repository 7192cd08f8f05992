"""The definition against independent statements: matrix memories under the inner product.

Each test restates the mathematics in a few lines of numpy, in another form than the recurrence
wherever the literature has one: masked products, means, sums.
"""

from typing import Any

import numpy as np
import pytest
from plain import Tokens, draw, play, ratios, same

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(7)
START = DICE.normal(size=(VALUE, KEY)) * 0.3
PER_KEY = DICE.uniform(0.6, 1, (TIME, KEY))
PER_VALUE = DICE.uniform(0.6, 1, (TIME, VALUE))


def matrix(axis: str = "", kind: str = "gd", architecture: Any = "matrix", **fields: Any) -> Spec:
    """A matrix memory on raw keys; `axis` is the axis of its decay, empty for none."""
    return {
        "architecture": architecture,
        "bias": "dot",
        "retention": {"kind": "decay", "axis": axis} if axis else "none",
        "optimizer": {"kind": kind, **fields},
    }


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def test_linear_attention_is_a_masked_product(seen: Tokens) -> None:
    found = play(matrix(), *seen[:3], {"step": 1.0}).output
    same(found, np.tril(seen.query @ seen.key.T) @ seen.value)


def test_steps_of_the_inner_product_scale_the_values(seen: Tokens) -> None:
    found = play(matrix(), *seen[:3], {"step": seen.step}).output
    same(found, np.tril(seen.query @ seen.key.T) @ (seen.step[:, None] * seen.value))


def test_scalar_decay_is_a_mask_of_products(seen: Tokens) -> None:
    gates = {"step": 1.0, "decay": seen.decay}
    found = play(matrix("scalar"), *seen[:3], gates, {"matrix": START}).output
    carried = np.cumprod(seen.decay)[:, None] * (seen.query @ START.T)
    same(found, carried + (ratios(seen.decay) * (seen.query @ seen.key.T)) @ seen.value)


def test_decay_of_keys_and_values_is_a_mask_per_channel(seen: Tokens) -> None:
    gates = {"step": 1.0, "decay_key": PER_KEY, "decay_value": PER_VALUE}
    found = play(matrix("both"), *seen[:3], gates).output
    mask = np.einsum("ti,si,tsi->ts", seen.query, seen.key, ratios(PER_KEY))
    same(found, np.einsum("ts,tsj,sj->tj", mask, ratios(PER_VALUE), seen.value))


def test_steps_along_an_axis_scale_keys_or_values(seen: Tokens) -> None:
    gates = {"step_key": PER_KEY, "step_value": PER_VALUE}
    found = play(matrix(step_axis="both"), *seen[:3], gates).output
    same(found, np.tril(seen.query @ (PER_KEY * seen.key).T) @ (PER_VALUE * seen.value))


def test_normaliser_is_a_weighted_mean(seen: Tokens) -> None:
    mapped = {"kind": "matrix", "features": "elu1", "normaliser": True}
    spec = matrix("scalar", architecture=mapped)
    found = play(spec, *seen[:3], {"step": seen.step, "decay": seen.decay}).output
    positive = [np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in seen[:2]]
    weight = ratios(seen.decay) * (positive[0] @ positive[1].T) * seen.step
    same(found, weight @ seen.value / (weight.sum(1, keepdims=True) + 1e-6))


def test_normaliser_is_a_value_channel_of_ones(seen: Tokens) -> None:
    mapped: Spec = {"kind": "matrix", "features": "softmax"}
    spec = matrix("key", architecture=mapped)
    gates = {"step": seen.step, "decay_key": PER_KEY}
    wide = np.concatenate((seen.value, np.ones((TIME, 1))), axis=1)
    raw = play(spec, seen.query, seen.key, wide, gates).output
    normalised = matrix("key", architecture=mapped | {"normaliser": True})
    same(play(normalised, *seen[:3], gates).output, raw[:, :-1] / (raw[:, -1:] + 1e-6))


def test_hgrn2_writes_what_it_forgets(seen: Tokens) -> None:
    mapped = {"kind": "matrix", "features": "complement"}
    spec = matrix("key", architecture=mapped, step="constant")
    found = play(spec, *seen[:3], {"decay_key": PER_KEY}).output
    query = seen.query / (1 + np.exp(-seen.query))
    gla = play(matrix("key"), query, 1 - PER_KEY, seen.value, {"step": 1, "decay_key": PER_KEY})
    same(found, gla.output)


def test_momentum_of_the_inner_product_is_a_mask_of_two_decays(seen: Tokens) -> None:
    gates = {"step": seen.step, "decay": seen.decay, "momentum": seen.momentum}
    found = play(matrix("scalar", "momentum"), *seen[:3], gates).output
    kernel = ratios(seen.decay) @ ratios(seen.momentum) * seen.step
    same(found, (kernel * (seen.query @ seen.key.T)) @ seen.value)


def test_mamba_is_one_decayed_sum_per_channel(seen: Tokens) -> None:
    """h_t = exp(-dt A) h_{t-1} + dt x_t B_t per channel x, y = C . h: value size 1, key decay."""
    rate, dt = np.arange(1.0, KEY + 1), seen.step
    gates = {"step": dt, "decay_key": np.exp(-dt[:, None] * rate)}
    found = play(matrix("key"), seen.query, seen.key, seen.value[:, :1], gates).output
    state, wanted = np.zeros(KEY), []
    for t in range(TIME):
        state = np.exp(-dt[t] * rate) * state + dt[t] * seen.value[t, 0] * seen.key[t]
        wanted.append([seen.query[t] @ state])
    same(found, np.array(wanted))


def test_multiplying_reads_with_rotations_depends_on_distances_only(seen: Tokens) -> None:
    """RetNet and RoPE: R_t q . R_s k is a function of t - s, whatever the offset."""
    mapped = {"kind": "matrix", "features": "rope"}
    spec = matrix("scalar", architecture=mapped)
    found = play(spec, *seen[:3], {"step": 1.0, "decay": seen.decay}).output
    half = KEY // 2
    angle = 10_000.0 ** (-np.arange(half) / half)
    query, key = (x[:, :half] + 1j * x[:, half:] for x in seen[:2])
    distance = np.arange(TIME)[:, None] - np.arange(TIME)
    turned = np.exp(-1j * distance[..., None] * angle)
    scores = np.einsum("ti,si,tsi->ts", query.conj(), key, turned).real
    same(found, (ratios(seen.decay) * scores) @ seen.value)
