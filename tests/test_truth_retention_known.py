"""Named memories whose retention is special, against loops written from their equations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plain import Array, play, same

from miras.known import known

Gates = dict[str, Any]
Rule = Callable[[Array, Array, Array, Gates], tuple[Array, Array]]
TIME, DIM = 18, 5
DICE = np.random.default_rng(17)
QUERY, KEY, VALUE, OWN = DICE.normal(size=(4, TIME, DIM))
START = DICE.normal(size=(DIM, DIM)) * 0.3
KAPPA, MIXED, BONUS = DICE.normal(size=(3, DIM))
EYE = np.eye(DIM)
GATES: Gates = {
    "decay": DICE.uniform(0.6, 1, TIME),
    "decay_key": DICE.uniform(0.6, 1, (TIME, DIM)),
    "step": DICE.uniform(0.1, 0.9, TIME),
    "removal": DICE.uniform(0, 1, TIME),
    "removal_key": DICE.uniform(0, 1, (TIME, DIM)),
    "erased_key": OWN,
    "erased_scale": KAPPA,
    "bonus": BONUS,
}
GATES["step_key"] = 1 + (GATES["removal_key"] - 1) * np.abs(MIXED)


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def silu_unit(x: Array) -> Array:
    return unit(x / (1 + np.exp(-x)))


def at(t: int) -> Gates:
    return {name: x[t] if np.shape(x)[:1] == (TIME,) else x for name, x in GATES.items()}


def delta(state: Array, k: Array, v: Array, step: float) -> Array:
    return step * np.outer(v - state @ k, k)


def rwkv_7(state: Array, k: Array, v: Array, g: Gates) -> Array:
    kappa = unit(k * KAPPA)
    written: Array = k * (1 + (g["removal_key"] - 1) * np.abs(MIXED))
    erased = kappa[:, None] * (g["removal_key"] * kappa)
    moved = state @ (np.diag(g["decay_key"]) - erased)
    return moved + np.outer(v, written)


def eda(state: Array, k: Array, v: Array, g: Gates) -> Array:
    e, step = unit(g["erased_key"]), g["step"]
    erased = state @ np.diag(g["decay_key"]) @ (EYE - g["removal"] * np.outer(e, e))
    return erased @ (EYE - step * np.outer(k, k)) + step * np.outer(v, k)


def e88(state: Array, k: Array, v: Array, g: Gates) -> Array:
    return np.tanh(g["decay"] * state + g["step"] * np.outer(v, k))


def elastic_net(state: Array, k: Array, v: Array, g: Gates) -> Array:
    z = g["decay"] * state + delta(state, k, v, g["step"])
    return np.sign(z) * np.maximum(0, np.abs(z) - 0.001)


def chi_squared(state: Array, k: Array, v: Array, g: Gates) -> Array:
    """Rows sorted by what they gain: the root of a sum that is linear between its kinks."""
    gain, new = delta(state, k, v, g["step"]), np.zeros_like(state)
    for row, (old, x) in enumerate(zip(state, gain, strict=True)):
        places = [i for i in np.argsort(-x) if old[i] > 0]
        for count in range(1, len(places) + 1):
            kept = places[:count]
            zeta = 1 + ((old * x)[kept].sum() - 1) / old[kept].sum()
            there = np.maximum(0, 1 + x - zeta) * old
            if np.isclose(there.sum(), 1):
                new[row] = there
    return new


def lattice(state: Array, k: Array, v: Array, g: Gates) -> Array:
    residual, columns = v - state @ k, []
    for i, slot in enumerate(state.T):
        hat = slot / np.linalg.norm(slot)
        moved = slot + g["step"] * k[i] * (EYE - np.outer(hat, hat)) @ residual
        columns.append(moved / np.linalg.norm(moved))
    return np.array(columns).T


RULES: dict[str, tuple[Callable[[Array, Array, Array, Gates], Array], Array]] = {
    "rwkv-7": (rwkv_7, START),
    "eda": (eda, START),
    "e88": (e88, START),
    "miras-elastic-net": (elastic_net, START),
    "miras-f-divergence": (chi_squared, np.exp(START) / np.exp(START).sum(1, keepdims=True)),
    "lattice": (lattice, START),
}


@pytest.mark.parametrize("name", RULES)
def test_known_memory(name: str) -> None:
    rule, state = RULES[name]
    found = play(known()[name].model_dump(), QUERY, KEY, VALUE, GATES, {"matrix": START})
    plain = name == "rwkv-7"
    wanted: list[Array] = []
    for t in range(TIME):
        q, k = (x if plain else silu_unit(x) for x in (QUERY[t], KEY[t]))
        state = rule(state, k, VALUE[t], at(t))
        own = (q * BONUS) @ k * VALUE[t] if name == "rwkv-7" else 0
        wanted.append(state @ q + own)
    same(found.output, np.array(wanted))
    assert np.abs(np.array(wanted)).max() > 1e-2


def test_elastic_net_dual() -> None:
    memory = known()["miras-elastic-net-dual"].model_dump()
    found = play(memory, QUERY, KEY, VALUE, GATES, {"matrix": np.zeros((DIM, DIM))})
    dual = state = 0 * EYE
    for t in range(TIME):
        q, k = silu_unit(QUERY[t]), silu_unit(KEY[t])
        dual = GATES["decay"][t] * dual + delta(state, k, VALUE[t], GATES["step"][t])
        state = np.sign(dual) * np.maximum(0, np.abs(dual) - 0.01)
        same(found.output[t], state @ q)


def test_benna_fusi_is_its_differential_equation_in_steps_of_one() -> None:
    found = play(known()["benna-fusi"].model_dump(), QUERY, KEY, VALUE, GATES)
    u = np.zeros((8, DIM, DIM))  # u[0] and u[7] stand at the ends and stay zero
    for t in range(TIME):
        new = u.copy()
        for j in range(1, 7):
            inflow = 2.0 ** (-j) * (u[j - 1] - u[j]) if j > 1 else 0
            outflow = 2.0 ** (-j - 1) * (u[j + 1] - u[j])
            new[j] = u[j] + (inflow + outflow) / 2.0 ** (j - 1)
        u = new
        u[1] += GATES["step"][t] * np.outer(VALUE[t], silu_unit(KEY[t]))
        same(found.output[t], u[1] @ silu_unit(QUERY[t]))


def test_ewc_memory_over_two_boundaries() -> None:
    query, key, value = np.random.default_rng(3).normal(size=(3, 140, DIM))
    found = play(known()["ewc-memory"].model_dump(), query, key, value, {"step": 0.5})
    state: Array = 0 * EYE
    old, curvature, since = state, 0 * EYE, 0 * EYE
    for t in range(140):
        k = silu_unit(key[t])
        if t in (64, 128):
            old, curvature, since = state, curvature + since, 0 * EYE
        since = since + np.outer(k, k)
        written = state + delta(state, k, value[t], 0.5)
        # Where (state - written) + (state - old) curvature = 0.
        state = np.asarray(np.linalg.solve(EYE + curvature, (written + old @ curvature).T).T, float)
        same(found.output[t], state @ silu_unit(query[t]))
