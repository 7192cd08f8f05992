"""Memories of slots against loops written from their papers, and the gate that routes."""

from typing import Any

import numpy as np
import pytest
import torch
from plain import Array, draw, play, same

from miras import Layer
from miras.gate import Site
from miras.gate.routed import Routed
from miras.known import cells

SLOTS = 5


def softmax(x: Array) -> Array:
    raised = np.exp(x - x.max())
    return raised / raised.sum()


def known(name: str, **architecture: Any) -> dict[str, Any]:
    """The file of a known memory with fewer slots and with keys as they are."""
    spec = cells()[name].model_dump()
    spec["architecture"] |= {"size": SLOTS, "features": "identity"} | architecture
    return spec


@pytest.mark.parametrize("name", ["gsa", "raven"])
def test_slots_that_take_what_they_forget(name: str) -> None:
    now, dice = draw(), np.random.default_rng(1)
    kept = dice.uniform(0.5, 1.0, (24, SLOTS))
    if name == "raven":
        kept[dice.uniform(size=kept.shape) < 0.5] = 1.0
    played = play(known(name, sharpness=0.5), now.query, now.key, now.value, {"decay_slot": kept})
    keys, values, wanted = np.zeros((SLOTS, 6)), np.zeros((SLOTS, 5)), []
    for q, k, v, f in zip(now.query, now.key, now.value, kept, strict=True):
        keys = f[:, None] * keys + np.outer(1 - f, k)
        values = f[:, None] * values + np.outer(1 - f, v)
        wanted.append(values.T @ softmax(0.5 * keys @ q))
    same(played.output, np.array(wanted))
    same(played.weights["key_table"], keys)
    same(played.weights["value_table"], values)


def test_abc_with_its_running_normaliser() -> None:
    """K_t = e^(z_(t-1) - z_t) K_(t-1) + e^(s_t - z_t) k_t^T, z the running log-sum-exp of s."""
    now, dice = draw(), np.random.default_rng(2)
    score = 3 * dice.normal(size=(24, SLOTS))
    gates = {"step_slot": np.exp(score)}
    played = play(known("abc"), now.query, now.key, now.value, gates)
    keys, values, total = np.zeros((SLOTS, 6)), np.zeros((SLOTS, 5)), np.full(SLOTS, -np.inf)
    wanted: list[Array] = []
    for q, k, v, s in zip(now.query, now.key, now.value, score, strict=True):
        after = np.logaddexp(total, s)
        kept, new = np.exp(total - after)[:, None], np.exp(s - after)[:, None]
        keys, values, total = kept * keys + new * k, kept * values + new * v, after
        wanted.append(values.T @ softmax(keys @ q / np.sqrt(6)))
    same(played.output, np.array(wanted))
    same(played.weights["total"], np.exp(total), 1e-9 * np.exp(total).max())
    exact = played.weights["key_table"] / played.weights["total"][:, None]
    same(exact, keys)


def test_trellis_as_it_was_reconstructed() -> None:
    now, dice = draw(), np.random.default_rng(3)
    address = dice.uniform(0, 1, (24, SLOTS))
    gates = {"address": address, "decay": now.decay, "step": 0.3 * now.step}
    played = play(known("trellis"), now.query, now.key, now.value, gates)
    keys, values, wanted = np.zeros((SLOTS, 6)), np.zeros((SLOTS, 5)), []
    for t in range(24):
        a, step = address[t], 0.3 * now.step[t]
        keys, values = now.decay[t] * keys, now.decay[t] * values
        keys = keys - step * np.outer(a, keys.T @ a - now.key[t])
        values = values - step * np.outer(a, values.T @ a - now.value[t])
        score = keys @ now.query[t]
        weight = score / (1 + np.exp(-score))
        wanted.append(values.T @ weight / np.sqrt(weight @ weight + 1e-6))
    same(played.output, np.array(wanted))
    same(played.weights["key_table"], keys)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_slots_found_by_content(similarity: str) -> None:
    now, dice = draw(), np.random.default_rng(4)
    keys, values = dice.normal(size=(SLOTS, 6)), dice.normal(size=(SLOTS, 5))
    spec: dict[str, Any] = {
        "architecture": {
            "kind": "slots",
            "size": SLOTS,
            "addressing": "content",
            "similarity": similarity,
            "sharpness": 4.0,
            "top": 2,
            "initial_std": 1.0,
        }
    }
    first = {"key_table": keys, "value_table": values}
    played = play(spec, now.query, now.key, now.value, {"step": now.step}, first)

    def weigh(query: Array) -> Array:
        score = keys @ query
        if similarity == "cosine":
            lengths = np.sqrt((keys**2).sum(1) + 1e-6) * np.sqrt(query @ query + 1e-6)
            score = score / lengths
        score = 4 * score
        return softmax(np.where(score >= np.sort(score)[-2], score, -np.inf))

    wanted: list[Array] = []
    for q, k, v, step in zip(now.query, now.key, now.value, now.step, strict=True):
        a = weigh(k)
        keys, values = (
            keys - step * np.outer(a, keys.T @ a - k),
            values - step * np.outer(a, values.T @ a - v),
        )
        wanted.append(values.T @ weigh(q))
    same(played.output, np.array(wanted))


def test_a_route_leaves_other_slots_alone() -> None:
    site = Site("decay", dim=6, heads=3, width=8, low=0.0, high=1.0)
    gate = Routed(top=2).build(site)
    x = torch.randn(2, 5, 6)
    shared = {"position": torch.arange(5)}
    gate.eval()
    kept = gate(x, shared)
    assert torch.equal((kept < 1).sum(-1), torch.full((2, 5, 3), 2))
    assert torch.equal(gate(x, shared), kept)
    gate.train()
    assert not torch.equal(gate(x, shared), kept)
    assert torch.equal((gate(x, shared) < 1).sum(-1), torch.full((2, 5, 3), 2))


@pytest.mark.parametrize("name", ["abc", "gsa", "raven", "trellis", "pkm", "fwpkm", "fwmlp"])
def test_layers_train_and_decode_token_by_token(name: str) -> None:
    torch.manual_seed(0)
    layer = Layer(cells()[name], 16, 2).double().eval()
    x = torch.randn(1, 70, 16, dtype=torch.float64)
    whole, _ = layer(x)
    whole.square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    state, pieces = None, list[torch.Tensor]()
    with torch.no_grad():
        for piece in (x[:, :66], x[:, 66:67], x[:, 67:68], x[:, 68:]):
            y, state = layer(piece, state)
            pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-8, atol=1e-8)


def test_fwpkm_answers_with_the_value_where_the_gate_is_closed() -> None:
    layer = Layer(cells()["fwpkm"], 8, 1).double()
    gate: Any = layer.gates["step"]
    torch.nn.init.constant_(gate.linear.bias, -40.0)
    heard: list[torch.Tensor] = []
    layer.out.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    layer(torch.randn(1, 9, 8, dtype=torch.float64))
    (answer,) = heard
    # A value has mean 0 and variance 1, and the norm of reads does not change that.
    same(answer.mean(-1).detach().numpy(), np.zeros((1, 9)), 1e-6)
    same(answer.square().mean(-1).detach().numpy(), np.ones((1, 9)), 1e-3)
