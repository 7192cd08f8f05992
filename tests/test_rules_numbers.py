"""What the rules keep out really blows up, and what they recommend really does not."""

from typing import Any

import numpy as np
import pytest
from plain import Array, Played, draw, play

import miras.memory

Spec = dict[str, Any]
HUGE, TAME = 1e4, 20.0
UNIT = {"kind": "matrix", "features": "l2"}


@pytest.fixture(autouse=True)
def lawless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories are built whatever the rules say."""
    monkeypatch.setattr(miras.memory, "RULES", [])


def repeated(
    spec: Spec, time: int = 160, length: float = 1.0, size: float = 5.0, **gates: Any
) -> Array:
    """|read - value| over time when one pair comes again and again; the worst case of the rules."""
    dice = np.random.default_rng(1)
    key = dice.normal(size=4)
    key = np.tile(length * key / np.linalg.norm(key), (time, 1))
    value = np.tile(size * np.sign(dice.normal(size=3)), (time, 1))
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(play(spec, key, key, value, gates).output - value), nan=np.inf)


def matrix(**fields: Any) -> Spec:
    return {"architecture": {"kind": "matrix"}, "bias": "l2", **fields}


def stepping(kind: str = "gd", **fields: Any) -> Spec:
    return {"kind": kind, **fields}


DECAY = {"kind": "decay"}
ANCHOR: Spec = {"gradient_at": "anchor", "chunk": 16}
LP = {"kind": "lp", "p": 3.0, "smoothing": 0.0}

GUARDED, UNGUARDED = {"bias": LP | {"guard": True}}, {"bias": LP | {"guard": False}}
SCALED = {"optimizer": stepping(scale="chunk", **ANCHOR)}
HEAVY = {"optimizer": stepping("momentum", scale="chunk", **ANCHOR)}
EARLY = {"retention": DECAY, "optimizer": stepping(gradient_at="previous")}
LATE = {"retention": DECAY, "optimizer": stepping(gradient_at="retained")}

# case: (bad memory, its gates), (cured memory, its gates)
BLOWN_AND_CURED: dict[str, tuple[tuple[Spec, Spec], tuple[Spec, Spec]]] = {
    "T14: a step of 1.5 on long keys": (
        (matrix(), {"step": 1.5, "length": 2.0}),
        (matrix(architecture=UNIT), {"step": 1.5, "length": 2.0}),
    ),
    "unit-keys: long keys": (
        (matrix(), {"step": 0.9, "length": 2.0}),
        (matrix(optimizer="implicit"), {"step": 0.9, "length": 2.0}),
    ),
    "unbounded-step: a step of 3": (
        (matrix(architecture=UNIT), {"step": 3.0}),
        (matrix(architecture=UNIT, optimizer="exact_flow"), {"step": 3.0}),
    ),
    "stability-bound: a vector has keys of norm 1": (
        (matrix(architecture="vector"), {"step": 2.2}),
        (matrix(architecture="vector"), {"step": 1.9}),
    ),
    "stability-bound: the decay comes after the gradient": (
        (matrix(**EARLY), {"step": 1.8, "decay": 0.5}),
        (matrix(**LATE), {"step": 1.8, "decay": 0.5}),
    ),
    "T15: cubic loss": (
        (matrix(**UNGUARDED), {"step": 0.9}),
        (matrix(**GUARDED), {"step": 0.9}),
    ),
    "T15: cubic loss at a frozen anchor": (
        (matrix(**UNGUARDED, **SCALED), {"step": 0.9}),
        (matrix(**GUARDED, **SCALED), {"step": 0.9}),
    ),
    "T15: cubic loss between refreshes": (
        (matrix(**UNGUARDED, optimizer=stepping(every=8)), {"step": 0.2}),
        (matrix(**GUARDED, optimizer=stepping(every=8)), {"step": 0.2}),
    ),
    "T19: 16 gradients at one anchor": (
        (matrix(optimizer=stepping(**ANCHOR)), {"step": 0.9}),
        (matrix(**SCALED), {"step": 0.9}),
    ),
    "T19: 16 gradients between refreshes": (
        (matrix(optimizer=stepping(every=16)), {"step": 0.9}),
        (matrix(optimizer=stepping(every=16)), {"step": 0.9 / 16}),
    ),
    "T19-momentum: a chunk of 16 and a momentum of 0.9": (
        (matrix(**HEAVY), {"step": 0.9, "momentum": 0.9}),
        (matrix(**HEAVY), {"step": 0.9, "momentum": 0.3}),
    ),
}


@pytest.mark.parametrize("case", BLOWN_AND_CURED)
def test_refused_blows_up_and_cured_does_not(case: str) -> None:
    (bad, bad_gates), (good, good_gates) = BLOWN_AND_CURED[case]
    assert repeated(bad, **bad_gates)[-1].max() > HUGE
    assert repeated(good, **good_gates).max() < TAME


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("momentum", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("at", ["previous", "retained"])
def test_momentum_is_stable_up_to_its_bound(decay: float, momentum: float, at: str) -> None:
    """step |k|^2 < (1 + decay)(1 + momentum) before the decay, divided by the decay after it."""
    bound = (1 + decay) * (1 + momentum) / (decay if at == "retained" else 1.0)
    spec = matrix(retention=DECAY, optimizer=stepping("momentum", gradient_at=at))

    def late(factor: float) -> float:
        found = repeated(spec, 200, step=factor * bound, decay=decay, momentum=momentum)
        return float(found[-20:].max())

    assert late(0.9) < TAME
    assert late(1.1) > HUGE


@pytest.mark.parametrize("chunk", [2, 8, 16])
def test_a_frozen_chunk_is_stable_up_to_two(chunk: int) -> None:
    spec = matrix(optimizer=stepping(gradient_at="anchor", chunk=chunk))
    assert repeated(spec, 20 * chunk, step=1.5 / chunk)[-1].max() < 1e-4
    assert repeated(spec, 20 * chunk, step=3.0 / chunk)[-1].max() > HUGE


def test_a_frozen_chunk_is_stable_up_to_two_over_the_largest_eigenvalue() -> None:
    """The same keys in every chunk: the error shrinks by I - step K^T K, no more and no less."""
    chunk, seen = 8, draw(8, key_dim=6)
    largest = np.linalg.eigvalsh(seen.key.T @ seen.key)[-1]
    assert 1 < largest < chunk
    spec = matrix(optimizer=stepping(gradient_at="anchor", chunk=chunk))
    key, target = np.tile(seen.key, (40, 1)), np.random.default_rng(3).normal(size=(5, 6))

    def missed(step: float) -> float:
        found = play(spec, key, key, key @ target.T, {"step": step}).weights["matrix"]
        return float(np.linalg.norm(found - target, 2))

    kept = np.linalg.matrix_power(np.eye(6) - 1.5 / largest * seen.key.T @ seen.key, 40)
    assert missed(1.5 / largest) == pytest.approx(np.linalg.norm(target @ kept, 2), abs=1e-9)
    assert missed(1.5 / largest) < np.linalg.norm(target, 2)
    assert missed(2.8 / largest) > HUGE


@pytest.mark.parametrize("bias", ["l1", {"kind": "lp", "p": 1.5, "smoothing": 0.01}])
def test_t16_steps_above_two_over_the_slope_oscillate(bias: Any) -> None:
    slope = miras.memory.Memory.model_validate(matrix(bias=bias)).bias.slope
    assert repeated(matrix(bias=bias), size=0.5, step=1.5 / slope)[-1].max() < 1e-6
    left = repeated(matrix(bias=bias), size=0.5, step=2.5 / slope)[-20:]
    assert 1e-3 < left.max() < 1.0  # it neither settles nor explodes


def test_lq_paper_blows_up_at_a_zero_accumulator_and_lq_exact_does_not() -> None:
    seen = draw(1)
    spec = matrix(retention={"kind": "lq", "form": "paper"})
    exact = matrix(retention={"kind": "lq", "form": "exact", "q": 1.5})

    def first(spec: Spec, step: float) -> float:
        found = play(spec, *seen[:3], {"decay": 1.0, "step": step})
        return float(np.abs(found.exposed["matrix"]).max())

    # The less is written, the larger the weights: |W|_4 = 1 / |A|_4.
    assert first(spec, 1e-2) / first(spec, 1e-1) == pytest.approx(10, rel=1e-3)
    assert first(exact, 1e-2) / first(exact, 1e-1) == pytest.approx(0.1, rel=1e-3)


def deep(time: int, bias: str, decay: float = 1.0, norm: str = "none", step: float = 0.1) -> Played:
    seen = draw(time, key_dim=4, value_dim=4)
    spec = {
        "architecture": {"kind": "mlp", "norm": norm, "residual": False, "expansion": 2.0},
        "bias": bias,
        "retention": "decay",
    }
    gates = {"step": step, "decay": decay, "norm_gain": 1.0, "norm_shift": 0.0}
    dice = np.random.default_rng(2)
    first = {"layer_0": dice.normal(size=(8, 4)) / 2, "layer_1": dice.normal(size=(4, 8)) / 3}
    value = np.tile(3 * seen.value[:1], (time, 1))
    with np.errstate(all="ignore"):
        return play(spec, seen.query, seen.key, value, gates, first)


def largest(played: Played) -> float:
    """The largest weight."""
    found = max(np.abs(leaf).max() for leaf in played.weights.values())
    return float(np.nan_to_num(found, nan=np.inf))


def test_t4_inner_product_on_a_deep_memory_grows_for_ever() -> None:
    assert largest(deep(200, "dot")) > HUGE
    assert largest(deep(200, "dot", decay=0.7)) < TAME
    assert largest(deep(200, "l2", step=0.02)) < TAME
    assert np.abs(deep(200, "dot", norm="layer").output).max() < TAME


def test_deep_steps_explode_without_a_norm() -> None:
    with np.errstate(all="ignore"):
        assert not np.abs(deep(40, "l2", step=0.9).output).max() < HUGE
    assert np.abs(deep(40, "l2", step=0.9, norm="layer").output).max() < TAME
    assert np.abs(deep(40, "l2", step=0.9, norm="rms").output).max() < TAME


def test_t5_reads_grow_with_the_sequence_unless_normalised() -> None:
    seen = draw(256)
    value = np.ones_like(seen.value)
    positive: Spec = {"kind": "matrix", "features": "elu1"}
    grown = play(
        matrix(architecture=positive, bias="dot"), seen.query, seen.key, value, {"step": 1.0}
    ).output
    assert grown[-1].min() > 10 * grown[3].max()
    spec = matrix(architecture=positive | {"normaliser": True}, bias="dot")
    tamed = play(spec, seen.query, seen.key, value, {"step": 1.0}).output
    assert tamed == pytest.approx(1, abs=1e-5)


def test_t20_signed_features_make_the_normaliser_cross_zero() -> None:
    seen = draw(512)
    for features, limit in (("identity", False), ("elu1", True), ("relu", True), ("softmax", True)):
        spec = {"architecture": {"kind": "matrix", "features": features, "normaliser": True}}
        read = play(spec | {"bias": "dot"}, *seen[:3], {"step": 1.0}).output
        # With positive weights a read is a mean of values.
        assert (np.abs(read).max() <= np.abs(seen.value).max() + 1e-9) == limit


def test_t1_positive_weights_read_with_the_sign_of_the_query() -> None:
    seen = draw()
    spec = matrix(architecture=UNIT, retention="simplex")
    read = play(spec, np.abs(seen.query), seen.key, seen.value, {"step": 0.5, "decay": 0.9}).output
    assert read.min() > 0


def test_t6_momentum_of_the_inner_product_is_a_second_decay() -> None:
    seen, eta = draw(), 0.6
    spec = matrix(architecture="matrix", bias="dot", optimizer="momentum")
    found = play(spec, *seen[:3], {"step": seen.step, "momentum": eta}).output
    # What was written t - j tokens ago has been added 1 + eta + ... + eta^(t-j) times.
    ages = np.arange(24)[:, None] - np.arange(24)[None]
    kernel = np.where(ages >= 0, (1 - eta ** (ages + 1.0)) / (1 - eta), 0) * seen.step
    assert found == pytest.approx((kernel * (seen.query @ seen.key.T)) @ seen.value, abs=1e-10)


def test_t9_chunk_every_and_window_are_three_numbers() -> None:
    seen = draw()

    def read(**fields: Any) -> Array:
        spec = matrix(optimizer=stepping(**fields))
        return play(spec, *seen[:3], {"step": seen.step / 4}).output

    both = {"gradient_at": "anchor", "chunk": 4}
    variants = [read(), read(**both), read(every=4), read(**both, every=2)]
    for index, one in enumerate(variants):
        for other in variants[:index]:
            assert np.abs(one - other).max() > 1e-3
    # Refreshed once per chunk, what is read is the anchor: every alone says the same.
    assert read(**both, every=4) == pytest.approx(read(every=4), abs=1e-12)


def test_t10_a_read_comes_after_the_write_whatever_the_chunk() -> None:
    seen = draw(8)
    long = matrix(optimizer=stepping(gradient_at="anchor", chunk=64))
    assert np.abs(play(long, seen.key, seen.key, seen.value, {"step": 0.1}).output[0]).max() > 0.05
    stale = matrix(optimizer=stepping(every=64))
    assert np.abs(play(stale, seen.key, seen.key, seen.value, {"step": 0.1}).output).max() == 0


@pytest.mark.parametrize("bias", ["dot", "l2", "huber"])
@pytest.mark.parametrize("axis", ["scalar", "key", "value", "both"])
def test_t24_extreme_forgetting_stays_finite(bias: str, axis: str) -> None:
    """Decays of e^-30 over and over: exponents of summed logarithms would leave any float."""
    seen = draw(96)
    spec = matrix(architecture=UNIT, bias=bias, retention={"kind": "decay", "axis": axis})
    decay = np.where(np.arange(96) % 3 == 0, 1.0, np.exp(-30.0))
    per_channel = decay[:, None]
    gates = {
        "step": seen.step,
        "decay": decay,
        "decay_key": per_channel,
        "decay_value": per_channel,
    }
    wanted = play(spec, *seen[:3], gates).output
    found = play(spec, *seen[:3], gates, plan="auto").output
    assert np.isfinite(wanted).all()
    assert found == pytest.approx(wanted, abs=1e-9)
