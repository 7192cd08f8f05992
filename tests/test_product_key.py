"""Product keys: the slots that are found, what is written to them, and what it is good for."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from plain import same
from torch import Tensor

from miras import Memory, State, run, start
from miras.architecture.product_key import ProductKey
from miras.plans import plans
from miras.state import initial_weights

SIZES = [(4, 1), (7, 3), (16, 5), (32, 8), (24, 30), (3, 9), (5, 25), (2, 64)]


def tables(architecture: ProductKey, key_dim: int, seed: int = 0) -> dict[str, Tensor]:
    dice = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(*leaf.shape, generator=dice, dtype=torch.float64)
        for name, leaf in architecture.leaves(key_dim, 6).items()
    }


def scored(architecture: ProductKey, weights: dict[str, Tensor], key: Tensor) -> Tensor:
    """Scores of all slots for each address, by a loop over all of them."""
    size = key.shape[-1] // architecture.addresses
    found = torch.empty(len(key), architecture.addresses, architecture.slots, dtype=torch.float64)
    for t in range(len(key)):
        for a in range(architecture.addresses):
            piece = key[t, a * size : (a + 1) * size]
            for i in range(architecture.side):
                for j in range(architecture.side):
                    whole = torch.cat((weights["first"][i, a], weights["second"][j, a]))
                    one, two = (piece - whole).split(size // 2)
                    if architecture.score == "dot":
                        score = float(piece @ whole)
                    else:
                        score = -math.log(1e-3 + float(one @ one))
                        score -= math.log(1e-3 + float(two @ two))
                    found[t, a, i * architecture.side + j] = score
    return found


@pytest.mark.parametrize(("side", "top"), SIZES)
@pytest.mark.parametrize("score", ["inverse_distance", "dot"])
def test_the_best_slots_are_found_without_looking_at_all(side: int, top: int, score: Any) -> None:
    architecture = ProductKey(side=side, top=top, score=score)
    weights = tables(architecture, 8)
    key = torch.randn(40, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    every = scored(architecture, weights, key)
    best, index = every.topk(min(top, side**2), dim=-1)
    chosen = architecture.choose(weights, key)
    assert torch.equal(chosen.slot, index[:, 0])
    torch.testing.assert_close(chosen.weight, best[:, 0].softmax(-1))


def test_large_tables_are_searched_exactly() -> None:
    architecture = ProductKey(side=256, top=32, addresses=2)
    weights = tables(architecture, 32, seed=3)
    key = torch.randn(16, 32, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    first, second = architecture.scores(weights, key)
    every = (first[..., :, None] + second[..., None, :]).flatten(-2)
    index = every.topk(32, dim=-1).indices.flatten(-2)
    assert torch.equal(architecture.choose(weights, key).slot, index)


@pytest.mark.parametrize("softmax", ["joint", "each"])
def test_several_addresses_share_one_table(softmax: Any) -> None:
    architecture = ProductKey(side=4, top=3, addresses=2, softmax=softmax)
    weights = tables(architecture, 8)
    key = torch.randn(20, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    best, index = scored(architecture, weights, key).topk(3, dim=-1)
    shares = best.softmax(-1) if softmax == "each" else best.flatten(1).softmax(-1).view_as(best)
    dense = torch.zeros(20, 16, dtype=torch.float64)
    for t in range(20):
        for a in range(2):
            for n in range(3):
                dense[t, index[t, a, n]] += shares[t, a, n]
    torch.testing.assert_close(architecture.address(weights, key, {}), dense)
    torch.testing.assert_close(architecture.predict(weights, key, {}), dense @ weights["table"])
    torch.testing.assert_close(architecture.sensitivity(weights, key, {}), (dense**2).sum(-1))
    wide = {name: leaf[None, None] for name, leaf in weights.items()}
    counted = architecture.counts(wide, key[None, None], {})
    torch.testing.assert_close(counted[0, 0], (dense > 0).double().sum(0))


def written(
    tables: dict[str, np.ndarray],
    key: np.ndarray,
    value: np.ndarray,
    gate: np.ndarray,
    **chosen: Any,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """FwPKM by loops over tokens and slots: reads, and the tables after all chunks."""
    side, top, size, factor, balance = (
        chosen[name] for name in ("side", "top", "batch", "factor", "balance")
    )
    tables = {name: table.copy() for name, table in tables.items()}
    half, read, waiting = key.shape[1] // 2, np.zeros_like(value), []

    def nearness(name: str, query: np.ndarray) -> np.ndarray:
        return -np.log(1e-3 + ((query - tables[name][:, 0]) ** 2).sum(1))

    def look(query: np.ndarray) -> dict[int, float]:
        one, two = nearness("first", query[:half]), nearness("second", query[half:])
        every = {i * side + j: one[i] + two[j] for i in range(side) for j in range(side)}
        best = sorted(every, key=lambda n: -every[n])[:top]
        share = np.exp([every[n] for n in best])
        return dict(zip(best, share / share.sum(), strict=True))

    def spread(name: str, queries: np.ndarray) -> np.ndarray:
        """The gradient of balance * sum p log p by the sub-keys of one half."""
        table, count = tables[name][:, 0], len(queries)
        shares = np.zeros((count, side))
        for t, query in enumerate(queries):
            score = nearness(name, query)
            best = np.argsort(-score)[:top]
            shares[t, best] = np.exp(score[best]) / np.exp(score[best]).sum()
        mean = shares.mean(0)
        gradient = np.zeros_like(table)
        slope = np.where(mean > 0, np.log(np.maximum(mean, 1e-300)) + 1, 0)
        for t, query in enumerate(queries):
            inner = shares[t] * (slope - shares[t] @ slope) / count
            distance = 1e-3 + ((query - table) ** 2).sum(1)
            gradient += (inner / distance)[:, None] * 2 * (query - table)
        return balance * gradient[:, None]

    for t in range(len(key)):
        read[t] = sum(share * tables["table"][n] for n, share in look(key[t]).items())
        if t:
            waiting.append((key[t - 1], value[t], gate[t - 1]))
        if (t + 1) % size:
            continue
        change, reads = np.zeros_like(tables["table"]), np.zeros(side**2)
        for query, target, strength in waiting:
            slots = look(query)
            missed = target - sum(share * tables["table"][n] for n, share in slots.items())
            for n, share in slots.items():
                change[n] += strength * share * missed
                reads[n] += 1
        queries = np.array([query for query, _, _ in waiting])
        moved = {
            "first": spread("first", queries[:, :half]),
            "second": spread("second", queries[:, half:]),
        }
        tables["table"] += factor * change / np.maximum(reads, 1)[:, None]
        for name in moved:
            tables[name] -= moved[name]
        waiting = []
    return read, tables


@pytest.mark.parametrize(("factor", "balance"), [(1.0, 0.0), (3.0, 1.0), (2.0, 0.5)])
@pytest.mark.parametrize("plan", ["definition", "batched"])
def test_fwpkm_equals_plain_loops(factor: float, balance: float, plan: str) -> None:
    spec: dict[str, Any] = {
        "architecture": {"kind": "product_key", "side": 4, "top": 3, "balance": balance},
        "bias": {"kind": "l2", "target": "next_value"},
        "optimizer": {"kind": "row_mean", "batch": 5, "read": "before", "factor": factor},
    }
    memory = Memory.model_validate(spec)
    dice = np.random.default_rng(0)
    key, value = dice.normal(size=(17, 6)), dice.normal(size=(17, 4))
    gate = dice.uniform(0.1, 0.9, 17)
    first = {n: x.double() for n, x in initial_weights(memory, 1, 6, 4, seed=2).items()}
    k, v, g = (torch.from_numpy(x)[None, :, None] for x in (key, value, gate))
    state: State = start(memory, 1, 1, 6, 4, first, torch.float64)
    output, after = run(memory, k, k, v, {"step": g}, state, plan)
    plain = {name: leaf[0].numpy() for name, leaf in first.items()}
    assert isinstance(after, State)
    read, tables = written(
        plain, key, value, gate, side=4, top=3, batch=5, factor=factor, balance=balance
    )
    same(output[0, :, 0].numpy(), read)
    for name, table in tables.items():
        same(after.weights[name][0, 0].numpy(), table)


def test_sequences_share_one_table() -> None:
    spec: dict[str, Any] = {
        "architecture": {"kind": "product_key", "side": 3, "top": 2, "balance": 1.0},
        "optimizer": {"kind": "row_mean", "batch": 4, "shared": True, "read": "before"},
    }
    memory = Memory.model_validate(spec)
    dice = torch.Generator().manual_seed(0)
    key, value = (torch.randn(2, 4, 1, 6, generator=dice, dtype=torch.float64) for _ in range(2))
    gates = {"step": torch.rand(2, 4, 1, generator=dice, dtype=torch.float64)}
    _, both = run(memory, key, key, value, gates)
    for leaf in both.weights.values():
        torch.testing.assert_close(leaf[0], leaf[1])
    # The same eight tokens, one sequence after the other, in one batch of eight.
    spec["optimizer"] |= {"batch": 8, "shared": False}
    row = [x.reshape(1, 8, *x.shape[2:]) for x in (key, value, gates["step"])]
    _, one = run(Memory.model_validate(spec), row[0], row[0], row[1], {"step": row[2]})
    for name, leaf in one.weights.items():
        torch.testing.assert_close(leaf[0], both.weights[name][0])


def test_a_table_that_is_never_written_is_read_at_once() -> None:
    frozen = {"kind": "gd", "step": {"kind": "constant", "value": 0.0}}
    memory = Memory.model_validate(
        {"architecture": {"kind": "product_key", "side": 4}, "optimizer": frozen}
    )
    assert plans()["batched"].fits(memory)
    key, value = torch.randn(2, 9, 1, 6), torch.randn(2, 9, 1, 4)
    before = start(memory, 2, 1, 6, 4)
    output, after = run(memory, key, key, value, {})
    for name, leaf in before.weights.items():
        assert torch.equal(after.weights[name], leaf)
    wanted, _ = run(memory, key, key, value, {}, plan="definition")
    torch.testing.assert_close(output, wanted)


def pairs(count: int, clustered: bool = False, seed: int = 0) -> tuple[Tensor, Tensor]:
    dice = torch.Generator().manual_seed(seed)
    key = torch.randn(count, 64, generator=dice, dtype=torch.float64)
    if clustered:
        key = 0.4 * key + torch.randn(1, 64, generator=dice, dtype=torch.float64)
    value = torch.randn(count, 64, generator=dice, dtype=torch.float64)
    value = (value - value.mean(-1, keepdim=True)) / value.std(-1, keepdim=True)
    return key, value


def curve(
    key: Tensor, value: Tensor, factor: float, passes: int, balance: float = 0.0, again: int = 1
) -> tuple[list[float], float]:
    """Recall after each pass over all pairs in one chunk, and the share of slots in use."""
    memory = Memory.model_validate(
        {
            "architecture": {"kind": "product_key", "side": 64, "balance": balance},
            "optimizer": {
                "kind": "row_mean",
                "factor": factor,
                "batch": len(key),
                "passes": again,
                "step": {"kind": "constant", "value": 1.0},
                "read": "before",
            },
        }
    )
    state: State = start(memory, 1, 1, 64, 64, dtype=torch.float64)
    found: list[float] = []
    seen: Tensor = torch.zeros(())
    for _ in range(passes):
        k, v = key[None, :, None], value[None, :, None]
        _, state = run(memory, k, k, v, {}, state)
        weights = {name: leaf[0, 0] for name, leaf in state.weights.items()}
        answer = memory.architecture.read(weights, key, {})
        nearest = torch.cdist(answer, value).argmin(-1)
        found.append(float((nearest == torch.arange(len(key))).double().mean()))
        assert isinstance(memory.architecture, ProductKey)
        seen = memory.architecture.choose(weights, key).slot.unique()
    return found, len(seen) / 4096


def test_one_pass_with_the_factor_and_four_without() -> None:
    """seeds: c = k reaches .98 in one pass, c = 1 takes .19, .68, .89, .95 (three seeds there)."""
    key, value = pairs(4096)
    with torch.no_grad():
        assert curve(key, value, 8.0, 1)[0][0] >= 0.98
        slow = curve(key, value, 1.0, 4)[0]
    np.testing.assert_allclose(slow, (0.188, 0.676, 0.888, 0.949), atol=0.02)


def test_spreading_addresses_saves_clustered_keys() -> None:
    key, value = pairs(1024, clustered=True)
    with torch.no_grad():
        without, few = curve(key, value, 8.0, 1)
        recall, many = curve(key, value, 8.0, 1, balance=1.0, again=24)
    assert without[0] <= 0.25 and few <= 0.08
    assert recall[-1] >= 0.95 and many >= 0.25


def test_passes_read_the_batch_again() -> None:
    """One run with passes: 3 is three runs over the same batch."""
    spec: dict[str, Any] = {
        "architecture": {"kind": "product_key", "side": 4, "balance": 0.5},
        "optimizer": {"kind": "row_mean", "batch": 6, "read": "before", "passes": 3},
    }
    memory = Memory.model_validate(spec)
    key, value = (torch.randn(1, 6, 1, 4, dtype=torch.float64) for _ in range(2))
    gates = {"step": torch.rand(1, 6, 1, dtype=torch.float64)}
    _, at_once = run(memory, key, key, value, gates)
    spec["optimizer"]["passes"] = 1
    once = Memory.model_validate(spec)
    state: State = start(once, 1, 1, 4, 4, dtype=torch.float64)
    for _ in range(3):
        _, state = run(once, key, key, value, gates, state)
    for name, leaf in at_once.weights.items():
        torch.testing.assert_close(leaf, state.weights[name])
