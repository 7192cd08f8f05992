"""The definition against independent loops: what is made of a gradient, and of several writes."""

from typing import Any

import numpy as np
import pytest
import torch
from plain import Tokens, draw, play, same

from miras import Memory
from miras.optimizer.least_squares import LeastSquares

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(12)
START = DICE.normal(size=(VALUE, KEY)) * 0.3
LONG = DICE.uniform(0.5, 2, (TIME, 1))
PER_KEY = DICE.uniform(0.6, 1, (TIME, KEY))
ONE: Spec = {"kind": "constant", "value": 1.0}


def matrix(optimizer: Any, bias: Any = "l2", retention: Any = "none") -> Spec:
    parts = {"bias": bias, "retention": retention, "optimizer": optimizer}
    return {"architecture": "matrix"} | parts


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def newton_schulz(x: Any, table: list[tuple[float, float, float]]) -> Any:
    """By its effect on singular values: s <- a s + b s^3 + c s^5."""
    left, sizes, right = np.linalg.svd(x / np.linalg.norm(x), full_matrices=False)
    for a, b, c in table:
        sizes = a * sizes + b * sizes**3 + c * sizes**5
    return left @ np.diag(sizes) @ right


LACT = [
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]


@pytest.mark.parametrize(
    ("coefficients", "iterations", "table"),
    [
        ("quintic", 0, []),
        ("quintic", 3, [(3.4445, -4.7750, 2.0315)] * 3),
        ("lact", 5, LACT),
        ("lact", 7, [*LACT, LACT[-1], LACT[-1]]),
    ],
)
@pytest.mark.parametrize("read", ["after", "before"])
def test_muon(seen: Tokens, coefficients: str, iterations: int, table: Any, read: str) -> None:
    """One step per 8 tokens, gates of the step's own token, decay at each token."""
    muon = {"kind": "muon", "coefficients": coefficients, "iterations": iterations, "read": read}
    rate = DICE.uniform(0.1, 2, TIME)
    gates = {"step": seen.step, "momentum": seen.momentum, "rate": rate, "decay": seen.decay}
    spec = matrix(muon | {"rate": "softplus"}, retention="decay")
    found = play(spec, *seen[:3], gates, {"matrix": START})
    weights, past, wanted, gradient = START, 0 * START, [], 0 * START
    for t in range(TIME):
        if read == "before":
            wanted.append(weights @ seen.query[t])
        weights = seen.decay[t] * weights
        missed = weights @ seen.key[t] - seen.value[t]
        gradient = gradient + seen.step[t] * np.outer(missed, seen.key[t])
        if t % 8 == 7:
            past = seen.momentum[t] * past - gradient
            weights = weights + rate[t] * newton_schulz(past, table)
            gradient = 0 * gradient
        if read == "after":
            wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


def test_muon_makes_singular_values_alike() -> None:
    optimizer: Any = Memory.model_validate(matrix("muon")).optimizer
    for shape in ((7, 4), (4, 7)):
        sizes = torch.linalg.svdvals(optimizer.orthogonal(torch.randn(3, *shape), 2))
        assert sizes.min() > 0.5 and sizes.max() < 1.3
    vector = optimizer.orthogonal(torch.randn(5), 1)
    assert vector.shape == (5,) and 0.5 < vector.norm() < 1.3


def test_preconditioned_steps(seen: Tokens) -> None:
    """The error is read at the key and written along the key of another length per channel."""
    key, added = seen.key * LONG, DICE.uniform(0, 2, TIME)
    gates = {"step": seen.step, "decay": seen.decay, "kept": 0.9, "added": added}
    spec = matrix({"kind": "preconditioned", "added": "softplus"}, retention="decay")
    found = play(spec, seen.query, key, seen.value, gates, {"matrix": START})
    weights, moment, wanted = START, np.zeros(KEY), []
    for t in range(TIME):
        weights, moment = seen.decay[t] * weights, 0.9 * moment + added[t] * key[t] ** 2
        level = np.log(moment + 1e-6) + 0.2
        along = key[t] * 1.5 ** -(level / (1 + np.abs(level)))
        missed = seen.value[t] - weights @ key[t]
        weights = weights + seen.step[t] * np.outer(missed, along)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


@pytest.mark.parametrize("gradient_at", ["retained", "previous"])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("bias", ["dot", "l2", "l1"])
def test_delta_gradient_descent(seen: Tokens, bias: str, closed: bool, gradient_at: str) -> None:
    """W (alpha I - step k k^T) - step gradient."""
    optimizer = {"kind": "delta_gd", "closed": closed, "gradient_at": gradient_at}
    gates, key = {"step": seen.step, "decay": seen.decay}, seen.key * LONG
    chosen: Any = {"kind": "l1", "smoothing": 0.04} if bias == "l1" else bias
    spec = matrix(optimizer, chosen, "decay")
    found = play(spec, seen.query, key, seen.value, gates, {"matrix": START})
    weights, wanted = START, []
    for t in range(TIME):
        k, v, kept = key[t], seen.value[t], seen.decay[t] * weights
        step = seen.step[t] / (1 + seen.step[t] * (k @ k)) if closed else seen.step[t]
        at = kept if gradient_at == "retained" else weights
        missed = at @ k - v
        error = {"dot": -v, "l2": missed, "l1": missed / np.sqrt(missed**2 + 0.04)}[bias]
        weights = kept - step * at @ np.outer(k, k) - step * np.outer(error, k)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


@pytest.mark.parametrize("axis", ["scalar", "value"])
def test_diagonal_implicit_step(seen: Tokens, axis: str) -> None:
    """Each weight alone minimises its own squared distance, with all squares in the divisor."""
    key, step = seen.key * LONG, DICE.uniform(0.1, 3, (TIME, VALUE))
    step = step if axis == "value" else np.repeat(step[:, :1], VALUE, axis=1)
    gates = {"step_value": step} if axis == "value" else {"step": step[:, 0]}
    optimizer = {"kind": "implicit_diagonal", "step_axis": axis, "step": "softplus"}
    found = play(matrix(optimizer), seen.query, key, seen.value, gates, {"matrix": START})
    weights, wanted = START.copy(), []
    for t in range(TIME):
        for i in range(VALUE):
            moved = step[t, i] / (1 + step[t, i] * np.sum(key[t] ** 2))
            for j in range(KEY):
                weights[i, j] *= 1 - moved * key[t, j] ** 2
                weights[i, j] += moved * seen.value[t, i] * key[t, j]
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


RIDGE = DICE.normal(size=KEY)


@pytest.mark.parametrize("iterations", [None, 6, 2, 0])
@pytest.mark.parametrize("target", ["value", "value_minus_key"])
def test_least_squares(seen: Tokens, iterations: int | None, target: str) -> None:
    """The minimiser of all faded squares and the ridge, by its normal equations."""
    value = DICE.normal(size=(TIME, KEY)) if target == "value_minus_key" else seen.value
    key = seen.key * LONG
    spec = matrix(
        {"kind": "least_squares", "iterations": iterations},
        {"kind": "l2", "target": target},
        "decay",
    )
    gates = {"step": seen.step, "decay": seen.decay, "ridge": RIDGE}
    found = play(spec, seen.query, key, value, gates)
    wanted: list[Any] = []
    goal = value - key if target == "value_minus_key" else value
    ridge = np.diag(0.25 + np.log1p(np.exp(RIDGE)))
    for t in range(TIME):
        faded = np.array([seen.step[s] * np.prod(seen.decay[s + 1 : t + 1]) for s in range(t + 1)])
        sums, moment = (faded[:, None] * goal[: t + 1]).T @ key[: t + 1], ridge.copy()
        moment += (faded[:, None] * key[: t + 1]).T @ key[: t + 1]
        if iterations in (None, 6):  # six steps solve for six channels
            solved = np.linalg.solve(moment, seen.query[t])
        else:
            solved = krylov(moment, seen.query[t], iterations or 0)
        wanted.append(sums @ solved)
    same(found.output, np.array(wanted), 1e-9 if iterations != 6 else 1e-6)


def krylov(matrix: Any, wanted: Any, count: int) -> Any:
    """What conjugate gradients reach: the best point, in the norm of the matrix, of a subspace."""
    first = wanted / np.diag(matrix)
    if not count:
        return first
    basis = [wanted - matrix @ first]
    for _ in range(count - 1):
        basis.append(matrix @ basis[-1])
    span = np.linalg.qr(np.array(basis).T)[0]
    inside = np.linalg.solve(span.T @ matrix @ span, span.T @ (wanted - matrix @ first))
    return first + span @ inside


@pytest.mark.parametrize("ridge", [0.26, 1.0, 30.0, 789.9, 1000.0])
def test_the_ridge_of_least_squares_begins_where_it_is_said(ridge: float) -> None:
    (signal,) = LeastSquares(ridge=ridge, floor=0.25).constants(2, 4, 4)
    begun = torch.nn.functional.softplus(torch.tensor(signal.mean, dtype=torch.float64)) + 0.25
    assert begun.item() == pytest.approx(ridge, rel=1e-9)


def test_least_squares_is_kalman_without_forgetting(seen: Tokens) -> None:
    """Rule R17: noise 1, and a prior variance of one over the ridge."""
    ridge = 0.25 + np.log1p(np.exp(0.3))
    gates = {"step": seen.step, "ridge": 0.3}
    one = play(matrix("least_squares"), *seen[:3], gates)
    filtered = {"kind": "kalman", "noise": 1.0, "variance": float(1 / ridge), "step": "sigmoid"}
    same(one.output, play(matrix(filtered), *seen[:3], {"step": seen.step}).output)


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("axis", ["scalar", "key"])
def test_several_writes_are_a_longer_sequence(seen: Tokens, axis: str, momentum: bool) -> None:
    """Rule R16: three writes per token are the delta rule on the expanded sequence."""
    more_keys, more_values = DICE.normal(size=(2, TIME, KEY)), DICE.normal(size=(2, TIME, VALUE))
    steps = DICE.uniform(0.1, 0.9, (3, TIME, KEY if axis == "key" else 1))
    steps = steps if axis == "key" else steps[..., 0]
    name = "step_key" if axis == "key" else "step"
    optimizer: Spec = {"kind": "multi_step", "count": 3, "step_axis": axis}
    optimizer |= {"momentum": "sigmoid"} if momentum else {}
    spec = matrix(optimizer, retention="decay") | {
        "architecture": {"kind": "matrix", "features": "silu_l2"}
    }
    gates = {"decay": seen.decay, "momentum": seen.momentum, name: steps[0]}
    for place in (1, 2):
        gates[f"key_{place + 1}"], gates[f"value_{place + 1}"] = (
            more_keys[place - 1],
            more_values[place - 1],
        )
        gates[f"{name}_{place + 1}"] = steps[place]
    found = play(spec, *seen[:3], gates, {"matrix": START})

    def interleaved(*rows: Any) -> Any:
        return np.stack(rows, axis=1).reshape(3 * TIME, *np.shape(rows[0])[1:])

    ones = np.ones(TIME)
    kind = "momentum" if momentum else "gd"
    single = spec | {"optimizer": {"kind": kind, "step_axis": axis}}
    expanded = play(
        single,
        interleaved(seen.query, seen.query, seen.query),
        interleaved(seen.key, *more_keys),
        interleaved(seen.value, *more_values),
        {
            "decay": interleaved(seen.decay, ones, ones),
            "momentum": interleaved(seen.momentum, seen.momentum, seen.momentum),
            name: interleaved(*steps),
        },
        {"matrix": START},
    )
    same(found.output, expanded.output[2::3])
    same(found.weights["matrix"], expanded.weights["matrix"])
