"""The definition against independent loops: optimizers that know more than the last gradient."""

from typing import Any

import numpy as np
import pytest
import torch
from plain import Tokens, draw, play, same

import miras
from miras import Memory, State, start

Spec = dict[str, Any]
TIME, KEY, VALUE = 24, 6, 5
DICE = np.random.default_rng(11)
START = DICE.normal(size=(VALUE, KEY)) * 0.3
LONG = DICE.uniform(0.5, 2, (TIME, 1))
ONE: Spec = {"kind": "constant", "value": 1.0}


def matrix(optimizer: Spec, bias: Any = "l2", retention: Any = "none") -> Spec:
    return {
        "architecture": "matrix",
        "bias": bias,
        "retention": retention,
        "optimizer": optimizer,
    }


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


def test_kalman_is_ridge_regression(seen: Tokens) -> None:
    """Without forgetting: the minimiser of all weighted squares, from the normal equations."""
    key, step, noise, variance = seen.key * LONG, 3 * seen.step, 0.7, 4.0
    spec = matrix({"kind": "kalman", "noise": noise, "variance": variance, "step": "sigmoid"})
    found = play(spec, seen.query, key, seen.value, {"step": step}, {"matrix": START})
    wanted: list[Any] = []
    for t in range(1, TIME + 1):
        k, v, s = key[:t], seen.value[:t], step[:t, None]
        left = k.T @ (s * k) / noise + np.eye(KEY) / variance
        right = (s * v).T @ k / noise + START / variance
        wanted.append(np.linalg.solve(left, right.T).T @ seen.query[t - 1])
    same(found.output, np.array(wanted))


@pytest.mark.parametrize("forgetting", [0.97, 0.6])
def test_kalman_with_decay_and_forgetting(seen: Tokens, forgetting: float) -> None:
    """Predict, gain, correct; the mean variance never exceeds that of the start."""
    key, noise, variance = seen.key * LONG, 0.2, 1.5
    spec = matrix(
        {"kind": "kalman", "noise": noise, "variance": variance, "forgetting": "sigmoid"},
        retention="decay",
    )
    gates = {"kept": forgetting, "decay": seen.decay}
    found = play(spec, seen.query, key, seen.value, gates, {"matrix": START})
    weights, covariance, limited, wanted = START, np.eye(KEY) * variance, 0, []
    for t in range(TIME):
        weights = seen.decay[t] * weights
        gain = covariance @ key[t] / (noise + key[t] @ covariance @ key[t])
        weights = weights + np.outer(seen.value[t] - weights @ key[t], gain)
        covariance = (np.eye(KEY) - np.outer(gain, key[t])) @ covariance / forgetting
        if np.trace(covariance) > KEY * variance:
            limited += 1
            covariance *= KEY * variance / np.trace(covariance)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))
    same(found.state.buffers["covariance"]["key"][0, 0].numpy(), covariance)
    assert (limited > 0) == (forgetting == 0.6)


def test_traces_wait_for_a_reward(seen: Tokens) -> None:
    """The weights are the sum over pairs of what later rewards make of their faded gradients."""
    reward = DICE.normal(size=TIME)
    spec = matrix({"kind": "eligibility"}, bias="dot", retention="decay")
    gates = {"step": seen.step, "trace": seen.momentum, "reward": reward, "decay": seen.decay}
    found = play(spec, seen.query, seen.key, seen.value, gates)
    wanted = np.zeros((TIME, VALUE))
    for t in range(TIME):
        for s in range(t + 1):
            share = 0.0
            for r in range(s, t + 1):  # written at s, rewarded at r, read at t
                faded = np.prod(seen.momentum[s + 1 : r + 1])
                share += reward[r] * faded * np.prod(seen.decay[r + 1 : t + 1])
            wanted[t] += share * seen.step[s] * (seen.key[s] @ seen.query[t]) * seen.value[s]
    same(found.output, wanted)


def test_traces_of_errors(seen: Tokens) -> None:
    spec = matrix(
        {"kind": "eligibility", "step": ONE, "reward": {"kind": "constant", "value": 0.3}}
    )
    found = play(spec, *seen[:3], {"trace": 0.5}, {"matrix": START})
    weights, trace, wanted = START, np.zeros((VALUE, KEY)), []
    for t in range(TIME):
        trace = 0.5 * trace + np.outer(weights @ seen.key[t] - seen.value[t], seen.key[t])
        weights = weights - 0.3 * trace
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


HARD = {"budget": 0.3, "rate": 0.4, "start": 0.5}


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("form", ["hard", "soft"])
@pytest.mark.parametrize("kind", ["gd", "momentum"])
def test_only_surprises_are_written(seen: Tokens, kind: str, form: str) -> None:
    chosen = HARD | {"form": form, "temperature": 0.7}
    spec = matrix({"kind": kind, "surprise": chosen}, retention="decay")
    gates = {"step": seen.step, "decay": seen.decay, "momentum": seen.momentum}
    found = play(spec, *seen[:3], gates, {"matrix": START})
    weights, past, level, wanted, written = START, 0 * START, np.log(0.5), [], 0
    for t in range(TIME):
        weights = seen.decay[t] * weights
        missed = weights @ seen.key[t] - seen.value[t]
        size = np.log((missed**2).mean())
        hard = float(size > level)
        gate = hard if form == "hard" else sigmoid((size - level) / 0.7)
        level += 0.4 * (hard - 0.3)
        past = (seen.momentum[t] if kind == "momentum" else 0.0) * past
        past = past - gate * seen.step[t] * np.outer(missed, seen.key[t])
        weights = weights + past
        wanted.append(weights @ seen.query[t])
        written += int(hard)
    same(found.output, np.array(wanted))
    assert 0 < written < TIME
    same(found.state.buffers["surprise"]["threshold"].numpy(), np.array([[level]]))


@pytest.mark.parametrize("size", [4, 100])
@pytest.mark.parametrize("decays", [False, True])
def test_pairs_that_surprise_enter_the_window(size: int, decays: bool) -> None:
    """Two sequences with two heads, each with a list of its own."""
    dice = np.random.default_rng(3)
    shape = (2, TIME, 2)
    query, key = dice.normal(size=(*shape, KEY)), dice.normal(size=(*shape, KEY))
    value = dice.normal(size=(*shape, VALUE)) * dice.uniform(0.1, 3, (*shape, 1))
    decay = dice.uniform(0.5, 1, shape)
    # a memory of pairs under two retention gates is not in the grammar: window or decay
    retention: Any = "decay" if decays else {"kind": "window", "size": size}
    size = 10**6 if decays else size
    spec = {
        "architecture": "kv",
        "retention": retention,
        "optimizer": {"kind": "closed_form", "surprise": HARD},
    }
    memory = Memory.model_validate(spec)
    state = start(memory, 2, 2, KEY, VALUE, None, torch.float64)
    q, k, v = (torch.from_numpy(x) for x in (query, key, value))
    gates = {"decay": torch.from_numpy(decay)} if decays else {}
    output, after = miras.run(memory, q, k, v, gates, state)
    wanted, counts = np.zeros((*shape, VALUE)), []

    def attend(pairs: list[Any], asked: Any) -> Any:
        if not pairs:
            return np.zeros(VALUE)
        logits = np.array([k @ asked / KEY**0.5 + np.log(kept) for k, _, kept in pairs])
        weight = np.exp(logits - logits.max())
        return (weight[:, None] * np.array([v for _, v, _ in pairs])).sum(0) / weight.sum()

    for b in range(2):
        for h in range(2):
            pairs: list[Any] = []
            level, written = np.log(0.5), 0
            for t in range(TIME):
                if decays:
                    pairs = [(k, v, kept * decay[b, t, h]) for k, v, kept in pairs]
                missed = attend(pairs, key[b, t, h]) - value[b, t, h]
                chosen = np.log((missed**2).mean()) > level
                level += 0.4 * (chosen - 0.3)
                if chosen:
                    pairs = [*pairs, (key[b, t, h], value[b, t, h], 1.0)][-size:]
                    written += 1
                wanted[b, t, h] = attend(pairs, query[b, t, h])
            counts.append(written)
    same(output.numpy(), wanted)
    assert len(set(counts)) > 1 and max(counts) < TIME
    assert isinstance(after, State)
    assert after.weights["log_kept"].shape[-1] == min(max(counts), size)


def test_a_hard_choice_has_the_gradient_of_a_soft_one() -> None:
    """With respect to what is learned of a token: its value changes how surprising it is."""
    chosen = {"budget": 0.3, "start": 0.5}
    for architecture, optimizer in (("matrix", "gd"), ("kv", "closed_form")):
        found: list[float] = []
        for start_at in (1e-3, 1e3):  # written for sure, not written for sure
            step: Spec = {"step": ONE} if optimizer == "gd" else {}
            surprise = chosen | {"start": start_at}
            spec: Spec = {
                "architecture": architecture,
                "optimizer": {"kind": optimizer, "surprise": surprise, **step},
            }
            memory = Memory.model_validate(spec)
            seen = draw(2, KEY, VALUE, seed=5)
            query, key, value = (torch.from_numpy(x)[None, :, None] for x in seen[:3])
            value.requires_grad_()
            output, _ = miras.run(memory, query, key, value, {})
            (slope,) = torch.autograd.grad(output[:, -1].sum(), value)
            assert slope.isfinite().all()
            found.append(float(slope.abs().max()))
        assert found[0] > 0
        assert (found[1] > 0) == (architecture == "matrix"), architecture
