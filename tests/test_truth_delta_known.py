"""Named memories of the delta family against loops written from their papers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plain import Array, play, same

from miras import Memory
from miras.known import known

Gates = dict[str, Any]
Rule = Callable[[Array, Array, Array, Gates], Array]
TIME, DIM = 18, 6
DICE = np.random.default_rng(21)
GATES: Gates = {
    "decay": DICE.uniform(0.6, 1, TIME),
    "decay_key": DICE.uniform(0.6, 1, (TIME, DIM)),
    "step": DICE.uniform(0.1, 0.9, TIME),
    "step_2": DICE.uniform(0.1, 1.9, TIME),
    "step_value": DICE.uniform(0.1, 0.9, (TIME, DIM)),
    "key_2": DICE.normal(size=(TIME, DIM)),
    "value_2": DICE.normal(size=(TIME, DIM)),
    "erase": 0.7,
    "erase_key": DICE.uniform(0, 1, (TIME, DIM)),
    "write_value": DICE.uniform(0, 1, (TIME, DIM)),
    "correction": 0.4,
    "ridge": 0.3,
    "kept": DICE.uniform(0.9, 1, TIME),
    "added": DICE.uniform(0, 1, TIME),
    "momentum": DICE.uniform(0.1, 0.9, TIME),
}
EYE = np.eye(DIM)


def named(name: str) -> Memory:
    found = known()[name]
    assert isinstance(found, Memory)
    return found


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def over_time(step: Callable[..., tuple[Array, Array]]) -> Rule:
    """Outputs of a rule (s, q, k, v, gates by name) -> (s, y), all of one token."""

    def run(query: Array, key: Array, value: Array, gates: Gates) -> Array:
        state, found = np.zeros((DIM, DIM)), []
        for t in range(len(key)):
            now = {n: x[t] if np.ndim(x) else x for n, x in gates.items()}
            state, read = step(state, query[t], key[t], value[t], now)
            found.append(read)
        return np.array(found)

    return run


def deltaproduct(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    one, two = (EYE - b * np.outer(x, x) for b, x in ((g["step"], k), (g["step_2"], g["key_2"])))
    first, second = g["step"] * np.outer(v, k), g["step_2"] * np.outer(g["value_2"], g["key_2"])
    s = g["decay"] * s @ one @ two + first @ two + second
    return s, s @ q


def gated_deltanet_2(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    s = s @ np.diag(g["decay_key"]) @ (EYE - np.outer(g["erase_key"] * k, k))
    s = s + np.outer(g["write_value"] * v, k)
    return s, s @ q


def comba(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    p = g["erase"] * k
    s = g["decay"] * s + g["step"] * np.outer(v - g["decay"] * s @ p, k)
    return s, s @ (q - g["correction"] * p)


def longhorn(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    inverse = np.linalg.inv(EYE + g["step"] * np.outer(k, k))
    s = (s + g["step"] * np.outer(v, k)) @ inverse
    return s, s @ q


def longhorn_diagonal(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    delta = g["step_value"] / (1 + g["step_value"] * (k @ k))
    s = s * (1 - np.outer(delta, k**2)) + np.outer(delta * v, k)
    return s, s @ q


def efla(s: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    """The flow ds = (v - s k) k^T for a time beta, by the exponential of its symmetric matrix."""
    sizes, basis = np.linalg.eigh(np.outer(k, k))
    whole = basis @ np.diag(np.exp(-g["step"] * sizes)) @ basis.T
    integral = np.where(
        sizes > 1e-9, (1 - np.exp(-g["step"] * sizes)) / np.maximum(sizes, 1e-9), g["step"]
    )
    s = s @ whole + np.outer(v, k) @ basis @ np.diag(integral) @ basis.T
    return s, s @ q


def oja(w: Array, q: Array, k: Array, v: Array, g: Gates) -> tuple[Array, Array]:
    """Oja's key is the memory's value, and the other way round."""
    k, v = v, k
    w = np.diag(g["decay_key"]) @ w
    w = w + g["step"] * np.outer(v, k - w.T @ v)
    return w, w @ q


def preconditioned(query: Array, key: Array, value: Array, gates: Gates) -> Array:
    s, moment, found = np.zeros((DIM, DIM)), np.zeros(DIM), []
    for t in range(TIME):
        k, a = key[t], gates["decay"][t]
        moment = gates["kept"][t] * moment + gates["added"][t] * k**2
        r = np.log(moment + 1e-6) - -0.2
        along = k * 1.5 ** (-r / (1 + np.abs(r)))
        s = a * s + gates["step"][t] * np.outer(value[t] - a * s @ k, along)
        found.append(s @ query[t])
    return np.array(found)


def mesa(query: Array, key: Array, value: Array, gates: Gates) -> Array:
    sums, moment, found = np.zeros((DIM, DIM)), np.zeros((DIM, DIM)), []
    ridge = (0.25 + np.log1p(np.exp(0.3))) * EYE
    for t in range(TIME):
        a, b, k = gates["decay"][t], gates["step"][t], key[t]
        sums, moment = a * sums + b * np.outer(value[t], k), a * moment + b * np.outer(k, k)
        found.append(sums @ np.linalg.inv(moment + ridge) @ query[t])
    return np.array(found)


def filtered(query: Array, key: Array, value: Array, gates: Gates) -> Array:
    w, cov, found = np.zeros((DIM, DIM)), 10 * EYE, []
    for t in range(TIME):
        k = key[t]
        gain = cov @ k / (0.25 / gates["step"][t] + k @ cov @ k)
        w = w + np.outer(value[t] - w @ k, gain)
        cov = (cov - np.outer(gain, k @ cov)) / gates["kept"][t]
        cov = cov * min(1, 10 * DIM / np.trace(cov))
        found.append(w @ query[t])
    return np.array(found)


def silu_unit(x: Array) -> Array:
    return unit(silu(x))


RULES: dict[str, tuple[Callable[[Array], Array], Rule]] = {
    "deltaproduct": (silu_unit, over_time(deltaproduct)),
    "gated-deltanet-2": (silu_unit, over_time(gated_deltanet_2)),
    "comba": (silu_unit, over_time(comba)),
    "longhorn": (silu, over_time(longhorn)),
    "longhorn-diagonal": (silu, over_time(longhorn_diagonal)),
    "efla": (silu, over_time(efla)),
    "gated-oja": (silu_unit, over_time(oja)),
    "preconditioned-gated-deltanet": (silu_unit, preconditioned),
    "mesanet": (unit, mesa),
    "recursive-least-squares": (silu_unit, filtered),
}


@pytest.mark.parametrize("name", RULES)
def test_named_memory(name: str) -> None:
    mapping, rule = RULES[name]
    query, key, value = DICE.normal(size=(3, TIME, DIM))
    memory = named(name)
    taken = {gate: GATES[gate] for gate in memory.gates(1, DIM, DIM)}
    found = play(memory.model_dump(), query, key, value, taken)
    mapped = GATES | {"key_2": mapping(GATES["key_2"])}
    same(found.output, rule(mapping(query), mapping(key), value, mapped), 1e-8)


def test_large_chunks_of_orthogonal_steps() -> None:
    """LaCT with chunks of 8: SwiGLU, inner product, momentum, rows of their initial lengths."""
    lact = named("lact")
    memory = lact.model_dump()
    memory["optimizer"]["batch"] = 8
    query, key, value = DICE.normal(size=(3, TIME, DIM))
    leaves = lact.architecture.leaves(DIM, DIM)
    first = {name: DICE.normal(size=leaf.shape) for name, leaf in leaves.items()}
    taken = {"step": GATES["step"], "momentum": GATES["momentum"], "rate": 1.0}
    taken = {name: taken[name] for name in lact.gates(1, DIM, DIM)}
    found = play(memory, query, key, value, taken, first)
    query, key = silu_unit(query), silu_unit(key)
    names = dict(zip(("in", "gate", "out"), _layers(first), strict=True))
    weights = {role: first[name] for role, name in names.items()}
    sizes = {role: np.linalg.norm(w, axis=1, keepdims=True) for role, w in weights.items()}
    past = {role: 0 * w for role, w in weights.items()}
    gradient, wanted = {role: 0 * w for role, w in weights.items()}, []
    for t in range(TIME):
        wanted.append(_network(weights, query[t]))
        for role, slope in _slopes(weights, key[t], -value[t]).items():
            gradient[role] = gradient[role] + GATES["step"][t] * slope
        if t % 8 == 7:
            for role in weights:
                past[role] = GATES["momentum"][t] * past[role] - gradient[role]
                moved = weights[role] + _orthogonal(past[role])
                scale = sizes[role] / np.linalg.norm(moved, axis=1, keepdims=True)
                weights[role], gradient[role] = moved * scale, 0 * gradient[role]
    same(found.output, np.array(wanted), 1e-8)


def _layers(first: dict[str, Array]) -> list[str]:
    """Names of the layers that are activated, that gate, and that answer."""
    gates = [name for name in first if "gate" in name]
    others = sorted(name for name in first if "gate" not in name)
    return [others[0], gates[0], others[1]]


def _network(w: dict[str, Array], x: Array) -> Array:
    return w["out"] @ (silu(w["in"] @ x) * (w["gate"] @ x))


def _slopes(w: dict[str, Array], x: Array, error: Array) -> dict[str, Array]:
    """By hand: derivatives of error . f(x)."""
    inner, gate = w["in"] @ x, w["gate"] @ x
    back, logistic = w["out"].T @ error, 1 / (1 + np.exp(-inner))
    slope = logistic * (1 + inner * (1 - logistic))
    return {
        "out": np.outer(error, silu(inner) * gate),
        "gate": np.outer(back * silu(inner), x),
        "in": np.outer(back * gate * slope, x),
    }


def _orthogonal(x: Array) -> Array:
    table = [(4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
             (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)]  # fmt: skip
    left, sizes, right = np.linalg.svd(x / np.linalg.norm(x), full_matrices=False)
    for a, b, c in table:
        sizes = a * sizes + b * sizes**3 + c * sizes**5
    return left @ np.diag(sizes) @ right
