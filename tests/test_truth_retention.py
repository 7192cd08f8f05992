"""The definition against independent statements: retention that remembers the past of weights.

Each test restates the mathematics in a few lines of numpy on one sequence of one head.
"""

from typing import Any

import numpy as np
import pytest
import torch
from plain import Array, Tokens, draw, play, same

from miras.demonstration.playing import play as play_on
from miras.linear import solution
from miras.memory import Memory
from miras.retention.consolidation import Consolidation
from miras.streams.impulse import Impulse
from miras.streams.two_tasks import TwoTasks

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(11)
START = DICE.normal(size=(VALUE, KEY)) * 0.3


def matrix(retention: Any, bias: str = "l2", **fields: Any) -> Spec:
    return {
        "architecture": "matrix",
        "bias": bias,
        "retention": retention,
        "optimizer": {"kind": "gd", **fields},
    }


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


# Cascade


def chain(levels: int, coupling: float) -> Array:
    """The chain as one matrix, from capacities and conductances written out one by one."""
    capacity = [2.0**j for j in range(levels)]
    between = [coupling * 2.0**-j for j in range(levels)]  # the last one leads to zero
    found = np.eye(levels)
    for j in range(levels):
        for other, flow in ((j - 1, between[j - 1] if j else 0.0), (j + 1, between[j])):
            found[j, j] -= flow / capacity[j]
            if 0 <= other < levels:
                found[j, other] += flow / capacity[j]
    return found


@pytest.mark.parametrize("gradient_at", ["retained", "previous"])
@pytest.mark.parametrize(("levels", "coupling"), [(2, 0.25), (3, 0.5), (6, 0.25)])
def test_cascade(seen: Tokens, levels: int, coupling: float, gradient_at: str) -> None:
    """All levels move by the chain, then the delta rule writes to the first."""
    spec = matrix({"kind": "cascade", "levels": levels, "coupling": coupling},
                  gradient_at=gradient_at)  # fmt: skip
    found = play(spec, *seen[:3], {"step": seen.step}, {"matrix": START})
    move, u, wanted = chain(levels, coupling), np.stack([START] * levels), []
    for t in range(TIME):
        at = u[0]
        u = np.einsum("ij,jvk->ivk", move, u)
        at = u[0] if gradient_at == "retained" else at
        u[0] = u[0] - seen.step[t] * np.outer(at @ seen.key[t] - seen.value[t], seen.key[t])
        wanted.append(u[0] @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.state.buffers["cascade"]["matrix"][0, 0].numpy(), u[1:])


def test_cascade_passes_through_a_normaliser(seen: Tokens) -> None:
    """The chain is linear: what it keeps of each write is one number, for values and weights."""
    spec = matrix({"kind": "cascade", "levels": 4}, bias="dot")
    spec["architecture"] = {"kind": "matrix", "features": "relu", "normaliser": True}
    found = play(spec, *seen[:3], {"step": seen.step})
    key, query, kept = np.maximum(seen.key, 0), np.maximum(seen.query, 0), [np.eye(4)[0]]
    for _ in range(TIME):
        kept.append(chain(4, 0.25) @ kept[-1])
    for t in range(TIME):
        weight = [seen.step[s] * kept[t - s][0] * (key[s] @ query[t]) for s in range(t + 1)]
        same(found.output[t], np.array(weight) @ seen.value[: t + 1] / (sum(weight) + 1e-6))


def test_cascade_is_near_the_best_exponential_at_every_age() -> None:
    """Half the signal-to-noise ratio of the exponential that is best for each age alone."""
    stream = Impulse(time=800, ages=(1, 4, 16, 64, 256))
    decay = {"kind": "decay", "gate": {"kind": "constant", "value": 0.99}}
    cascade, plain = (
        play_on(Memory.model_validate(matrix(retention, "dot")), stream, [0])[0].scores
        for retention in ({"kind": "cascade", "levels": 6}, decay)
    )
    assert cascade["worst_ratio"] >= 0.49
    assert plain["worst_ratio"] <= 0.35


# Consolidation


@pytest.mark.parametrize("ends", ["every", "boundary", "both"])
@pytest.mark.parametrize("curvature", ["full", "diagonal", "gradient"])
def test_consolidation(seen: Tokens, curvature: str, ends: str) -> None:
    """Each write is followed by the minimiser of distance plus penalty, from normal equations."""
    marked = (9, 16)
    spec = matrix({
        "kind": "consolidation", "curvature": curvature, "strength": 0.7, "discount": 0.5,
        "every": None if ends == "boundary" else 7,
        "boundary": None if ends == "every" else "sigmoid",
    })  # fmt: skip
    boundary = np.full(TIME, 0.3)
    boundary[list(marked)] = 0.6
    found = play(spec, *seen[:3], {"step": seen.step, "boundary": boundary}, {"matrix": START})
    weights, old, wanted = START, START, []
    importance = collected = np.zeros((VALUE, KEY, KEY))
    for t in range(TIME):
        k = seen.key[t]
        if (ends != "boundary" and t in (7, 14, 21)) or (ends != "every" and t in marked):
            old, importance = weights, importance / 2 + collected
            collected = np.zeros((VALUE, KEY, KEY))
        change = -seen.step[t] * np.outer(weights @ k - seen.value[t], k)
        added = {
            "full": np.stack([np.outer(k, k)] * VALUE),
            "diagonal": np.stack([np.diag(k**2)] * VALUE),
            "gradient": np.stack([np.diag(row**2) for row in change]),
        }[curvature]
        collected = collected + added
        written = weights + change
        for row in range(VALUE):
            # Zero gradient of |w - w'|^2 / 2 + 0.7 (w - old) H (w - old) / 2.
            pulled = 0.7 * importance[row]
            right = written[row] + pulled @ old[row]
            weights = weights.copy()
            weights[row] = np.linalg.solve(np.eye(KEY) + pulled, right)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.state.buffers["snapshot"]["matrix"][0, 0].numpy(), old)


def test_consolidation_of_a_deep_memory_holds_each_matrix(seen: Tokens) -> None:
    spec: Spec = {
        "architecture": {"kind": "mlp", "residual": False, "expansion": 1.0, "norm": "none"},
        "bias": "huber",
    }
    held_by = {"kind": "consolidation", "curvature": "gradient", "every": 5}
    first = {"layer_0": DICE.normal(size=(KEY, KEY)), "layer_1": DICE.normal(size=(VALUE, KEY))}
    gates = {"step": seen.step, "threshold": 1.0}
    free = play(spec | {"retention": "none"}, *seen[:3], gates, first)
    for strength in (0.0, 1e6):
        spec["retention"] = held_by | {"strength": strength}
        held = play(spec, *seen[:3], gates, first)
        same(held.output[:5], free.output[:5])  # nothing is important before the first boundary
        snapshot = held.state.buffers["snapshot"]
        for name, leaf in held.weights.items():
            if strength == 0:
                same(leaf, free.weights[name])
            else:
                moved = np.abs(leaf - snapshot[name][0, 0].numpy())
                important = held.state.buffers["importance"][name][0, 0].numpy() > 1e-3
                assert important.any() and moved[important].max() < 1e-2


def test_full_curvature_learns_a_second_task_and_keeps_the_first() -> None:
    """6 pairs, then 6 other pairs, 16 dimensions: errors of both; an answer of zero has 1."""
    stream = TwoTasks(pairs=6, key_dim=16, value_dim=16, first=80, second=160)
    scores: dict[str, Any] = {}
    for name, curvature in (("none", ""), ("diagonal", "diagonal"), ("full", "full")):
        retention: Any = "none"
        if curvature:
            retention = {"kind": "consolidation", "curvature": curvature, "every": None}
            retention |= {"boundary": "sigmoid", "strength": 10.0}
        spec = matrix(retention, step={"kind": "constant", "value": 1.0})
        played = play_on(Memory.model_validate(spec), stream, [0, 1, 2])
        scores[name] = {
            metric: np.mean([each.scores[metric] for each in played])
            for metric in ("a_error", "b_error")
        }
    assert scores["none"]["a_error"] > 0.5 and scores["none"]["b_error"] < 0.02
    assert max(scores["full"].values()) <= 0.02
    assert scores["diagonal"]["b_error"] > 0.5 > 0.02 > scores["diagonal"]["a_error"]


def test_a_hold_that_single_precision_cannot_show_raises_nothing() -> None:
    """The sum of a few large keys is singular beside an identity that rounding has lost."""
    held = Consolidation(curvature="full", strength=1e6)
    lost = {"matrix": torch.full((KEY, KEY), 1e6)}
    (found,) = held._yielding(lost).values()
    assert found.isnan().all()


def test_a_singular_system_has_no_number_and_others_beside_it_have() -> None:
    both = torch.stack([torch.zeros(2, 2), 2 * torch.eye(2)])
    found = solution(both, torch.ones(2, 2, 1))
    assert found[0].isnan().all() and found[1].tolist() == [[0.5], [0.5]]
