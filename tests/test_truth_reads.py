"""Memories of pairs, and ways to read, against independent statements in numpy."""

from typing import Any

import numpy as np
import pytest
from plain import Array, Tokens, draw, play, ratios, same

from miras.known import known
from miras.memory import Memory

Spec = dict[str, Any]
TIME, KEY, VALUE = 20, 6, 5
DICE = np.random.default_rng(11)
PER_KEY = DICE.uniform(0.6, 1, (TIME, KEY))
PLANS = pytest.mark.parametrize("plan", ["definition", "auto"])


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def pairs(retention: Any = "none", **architecture: Any) -> Spec:
    return {
        "architecture": {"kind": "kv", **architecture},
        "retention": retention,
        "optimizer": "closed_form",
    }


def softmax(logits: Array) -> Array:
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True)


def bare(name: str, **architecture: Any) -> Memory:
    """A known memory without its rotation of positions."""
    memory = known()[name]
    assert isinstance(memory, Memory)
    plain = memory.architecture.model_copy(update={"features": "identity"} | architecture)
    dumped = memory.model_dump() | {"architecture": plain.model_dump(warnings=False)}
    return Memory.model_validate(dumped)


@PLANS
def test_fox_adds_sums_of_logarithms(seen: Tokens, plan: str) -> None:
    found = play(bare("fox"), *seen[:3], {"decay": seen.decay}, plan=plan).output  # type: ignore
    scores, wanted = seen.query @ seen.key.T / KEY**0.5, []
    for t in range(TIME):
        kept = [sum(np.log(seen.decay[i + 1 : t + 1])) for i in range(t + 1)]
        wanted.append(softmax(scores[t, : t + 1] + np.array(kept)) @ seen.value[: t + 1])
    same(found, np.array(wanted))


@PLANS
def test_wall_attention_fades_every_channel_of_a_key(seen: Tokens, plan: str) -> None:
    memory = known()["wall-attention"].model_dump()
    found = play(memory, *seen[:3], {"decay_key": PER_KEY}, plan=plan).output
    logits = np.einsum("tn,sn,tsn->ts", seen.query, seen.key, ratios(PER_KEY)) / KEY**0.5
    logits[np.triu_indices(TIME, 1)] = -np.inf
    same(found, softmax(logits) @ seen.value)


def test_path_carries_keys_through_householder_products(seen: Tokens) -> None:
    """q_i^T prod_(j<m<=i) (I - beta_m w_m w_m^T) k_j, the product written out for every pair."""
    directions, removal = DICE.normal(size=(TIME, KEY)), DICE.uniform(0, 2, TIME)
    gates = {"erased_key": directions, "removal": removal, "decay": 1.0}
    memory = known()["path"]
    assert isinstance(memory, Memory)
    wanted_gates = {name: gates[name] for name in memory.gates(1, KEY, VALUE)}
    found = play(memory.model_dump(), *seen[:3], wanted_gates).output
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    logits = np.full((TIME, TIME), -np.inf)
    for j in range(TIME):
        product = np.eye(KEY)
        for i in range(j, TIME):
            if i > j:
                product = (np.eye(KEY) - removal[i] * np.outer(unit[i], unit[i])) @ product
            logits[i, j] = seen.query[i] @ product @ seen.key[j] / KEY**0.5
    same(found, softmax(logits) @ seen.value)


def test_deltaformer_takes_off_what_is_known(seen: Tokens) -> None:
    memory = known()["deltaformer"].model_dump()
    memory["architecture"]["features"] = "identity"
    found = play(memory, *seen[:3], {"step": seen.step}).output
    stored: list[Array] = []
    wanted: list[Array] = []
    for t in range(TIME):
        value = seen.value[t]
        if t:
            known_before = softmax(seen.key[:t] @ seen.key[t] / KEY**0.5) @ np.array(stored)
            value = value - seen.step[t] * known_before
        stored.append(value)
        weight = softmax(seen.key[: t + 1] @ seen.query[t] / KEY**0.5)
        wanted.append(weight @ np.array(stored))
    same(found, np.array(wanted))


@PLANS
@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_hopfield_walks_to_a_stored_pattern(seen: Tokens, iterations: int, plan: str) -> None:
    spec = pairs(iterations=iterations, sharpness=2.0)
    found = play(spec, *seen[:3], plan=plan).output
    wanted: list[Array] = []
    for t in range(TIME):
        patterns, state = seen.key[: t + 1], seen.query[t]
        for _ in range(iterations - 1):
            state = patterns.T @ softmax(2.0 * patterns @ state)
        wanted.append(seen.value[: t + 1].T @ softmax(2.0 * patterns @ state))
    same(found, np.array(wanted))


def test_hopfield_energy_falls(seen: Tokens) -> None:
    """E = -lse(beta, X xi) / beta + |xi|^2 / 2 never rises along the iterations."""
    spec, energies = {"sharpness": 3.0}, []
    states = [seen.query]
    for count in (1, 2, 3, 4):
        states.append(play(pairs(iterations=count, **spec), seen.query, seen.key, seen.key).output)
    for state in states:
        logits = 3.0 * seen.key @ state[-1]
        energies.append(-np.log(np.exp(logits).sum()) / 3.0 + state[-1] @ state[-1] / 2)
    assert (np.diff(energies) <= 1e-12).all()


@PLANS
def test_a_sink_takes_weight_and_gives_nothing(seen: Tokens, plan: str) -> None:
    found = play(pairs(sink=True), *seen[:3], {"sink": np.array(0.7)}, plan=plan).output
    weight = np.tril(np.exp(seen.query @ seen.key.T / KEY**0.5))
    same(found, weight @ seen.value / (weight.sum(1, keepdims=True) + np.exp(0.7)))


@PLANS
def test_parallax_is_two_sums_of_flash_linear_attention(seen: Tokens, plan: str) -> None:
    """O1 / d1 (1 + d2 / d1) - O2 / d1 with a second query r (catalogue, section 2.1)."""
    memory, matrix = bare("parallax"), DICE.normal(size=(KEY, KEY))
    found = play(memory, *seen[:3], {"slope": matrix}, plan=plan).output  # type: ignore
    wanted: list[Array] = []
    for t in range(TIME):
        keys, values = seen.key[: t + 1], seen.value[: t + 1]
        weight, along = np.exp(keys @ seen.query[t] / KEY**0.5), keys @ (matrix @ seen.query[t])
        first, total = weight @ values, weight.sum()
        second, moved = (weight * along) @ values, (weight * along).sum()
        wanted.append(first / total * (1 + moved / total) - second / total)
    same(found, np.array(wanted))


@PLANS
def test_local_linear_attention_is_a_weighted_regression(seen: Tokens, plan: str) -> None:
    """The constant of the line that least squares fits, with a ridge on its slope."""
    found = play(pairs(slope="solved", ridge=0.3), *seen[:3], plan=plan).output
    wanted: list[Array] = []
    for t in range(TIME):
        keys, values = seen.key[: t + 1] - seen.query[t], seen.value[: t + 1]
        root = np.sqrt(softmax(seen.key[: t + 1] @ seen.query[t] / KEY**0.5))[:, None]
        rows = root * np.concatenate((np.ones((t + 1, 1)), keys), axis=1)
        ridge = np.concatenate((np.zeros((KEY, 1)), 0.3**0.5 * np.eye(KEY)), axis=1)
        targets = np.concatenate((root * values, np.zeros((KEY, VALUE))))
        fitted = np.linalg.lstsq(np.concatenate((rows, ridge)), targets, rcond=None)[0]
        wanted.append(fitted[0])
    same(found, np.array(wanted))


def test_rwkv_6_reads_before_it_writes_and_adds_a_bonus(seen: Tokens) -> None:
    bonus = DICE.normal(size=KEY)
    gates = {"decay_key": PER_KEY, "bonus": bonus}
    found = play(known()["rwkv-6"].model_dump(), *seen[:3], gates).output
    state, wanted = np.zeros((VALUE, KEY)), []
    for t in range(TIME):
        now = np.outer(seen.value[t], seen.key[t])
        wanted.append((state + now * bonus) @ seen.query[t])
        state = state * PER_KEY[t] + now
    same(found, np.array(wanted))


def test_correction_reads_beside_the_key(seen: Tokens) -> None:
    """Comba: y = W (q - D p), p the key that the erase gate lets through."""
    spec = {
        "architecture": {"kind": "matrix", "correction": True},
        "optimizer": {"kind": "gd", "erase": "sigmoid", "erase_axis": "scalar"},
    }
    erase = DICE.uniform(0.2, 1, TIME)
    gates = {"step": seen.step, "erase": erase, "correction": np.array(0.3)}
    found = play(spec, *seen[:3], gates).output
    state, wanted = np.zeros((VALUE, KEY)), []
    for t in range(TIME):
        asked = erase[t] * seen.key[t]
        state = state + seen.step[t] * np.outer(seen.value[t] - state @ asked, seen.key[t])
        wanted.append(state @ (seen.query[t] - 0.3 * asked))
    same(found, np.array(wanted))


def test_mlstm_is_its_stabilised_form(seen: Tokens) -> None:
    """The running maximum m of the paper's equations 19-27 changes no number."""
    steps = np.exp(DICE.normal(size=TIME) * 4)
    gates = {"step": steps, "decay": seen.decay}
    found = play(known()["mlstm"].model_dump(), *seen[:3], gates).output
    state, total, top, wanted = np.zeros((VALUE, KEY)), np.zeros(KEY), -np.inf, []
    for t in range(TIME):
        new = max(np.log(seen.decay[t]) + top, np.log(steps[t]))
        forget, write = seen.decay[t] * np.exp(top - new), steps[t] * np.exp(-new)
        state = forget * state + write * np.outer(seen.value[t], seen.key[t])
        total, top = forget * total + write * seen.key[t], new
        size = max(abs(total @ seen.query[t]), np.exp(-top))
        wanted.append(state @ seen.query[t] / size)
    same(found, np.array(wanted))


def test_one_plus_sum(seen: Tokens) -> None:
    mapped = {"features": "elu1", "normaliser": True, "denominator": "one_plus_sum"}
    spec = {"architecture": {"kind": "matrix", **mapped}, "bias": "dot"}
    found = play(spec, *seen[:3], {"step": 1.0}).output
    query, key = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in seen[:2])
    weight = np.tril(query @ key.T)
    same(found, weight @ seen.value / (1 + weight.sum(1, keepdims=True)))


def rotation(angle: Array) -> Array:
    """The matrix that turns entries i and i + d / 2 by each angle."""
    half = len(angle)
    found = np.zeros((2 * half, 2 * half))
    for i, a in enumerate(angle):
        found[np.ix_([i, i + half], [i, i + half])] = [
            [np.cos(a), -np.sin(a)],
            [np.sin(a), np.cos(a)],
        ]
    return found


def test_mamba_3_turns_queries_and_keys_by_running_angles(seen: Tokens) -> None:
    """S_t = a S_{t-1} + (1 - l) dt a v_{t-1} k_{t-1}^T + l dt v k^T, q and k rotated (R11)."""
    share, lead = DICE.uniform(size=(TIME, KEY // 2)), DICE.uniform(size=TIME)
    gates = {"step": seen.step, "decay": seen.decay, "rotation": share, "lead": lead}
    found = play(known()["mamba-3"].model_dump(), *seen[:3], gates).output
    angle = np.cumsum(np.pi * (2 * share - 1), axis=0)
    turned = [rotation(-each) for each in angle]
    query, key = (np.einsum("tij,tj->ti", turned, x) for x in seen[:2])
    query /= np.linalg.norm(seen.query, axis=1, keepdims=True)
    # Write weight of j read at t > j: l_j dt_j + (1 - l_{j+1}) dt_{j+1}; at t = j the first alone.
    own = lead * seen.step
    late = np.append((1 - lead[1:]) * seen.step[1:], 0.0)
    weight = ratios(seen.decay) * (own + np.where(np.eye(TIME, dtype=bool), 0.0, late))
    same(found, (weight * (query @ key.T)) @ seen.value)


def test_armt_counts_a_key_once(seen: Tokens) -> None:
    found = play(known()["armt"].model_dump(), *seen[:3], {"step": seen.step}).output

    def mapped(x: Array) -> Array:
        r = np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)))
        return np.concatenate([r * np.roll(r, shift) for shift in (1, 2, 3)])

    state, total, wanted = np.zeros((VALUE, 6 * KEY)), np.zeros(6 * KEY), []
    for t in range(TIME):
        key, query = mapped(seen.key[t]), mapped(seen.query[t])
        old = state @ key / (total @ key + 1e-5)
        count = np.clip(1 - total @ key / (key @ key + 1e-5), 0, 1)
        state = state + seen.step[t] * np.outer(seen.value[t] - old, key)
        total = total + count * key
        wanted.append(state @ query / (total @ query + 1e-5))
    same(found, np.array(wanted))


@pytest.mark.parametrize(("correction", "least", "most"), [(True, 0.99, 1.0), (False, 0.0, 0.2)])
def test_armt_remembers_rewrites(correction: bool, least: float, most: float) -> None:
    """500 rewrites of 16 keys: with the corrected count the last value is read, without it not."""
    dice, keys, size = np.random.default_rng(0), 16, 64
    vectors, values = dice.normal(size=(keys, size)), dice.normal(size=(keys, size))
    written = np.concatenate((np.arange(keys), dice.integers(keys, size=500)))
    content = dice.integers(keys, size=len(written))
    asked = np.arange(keys)
    last = [content[np.flatnonzero(written == key)[-1]] for key in asked]
    spec = known()["armt"].model_dump()
    spec["architecture"]["correction"] = correction
    order = np.concatenate((written, asked))
    step = np.concatenate((np.ones(len(written)), np.zeros(keys)))
    value = np.concatenate((values[content], np.zeros((keys, size))))
    found = play(spec, vectors[order], vectors[order], value, {"step": step}).output[-keys:]
    right = (found @ values.T).argmax(1) == np.array(last)
    assert least <= right.mean() <= most
