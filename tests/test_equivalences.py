"""The equivalence rules R1-R27 of the project's catalogue of memories, each as two runs.

A row gives one memory its tensors and another memory tensors made from them, and both must answer
the same. Rules that rewrite a memory to its normal form (R3, R21, R22 and the limits of parts) are
pairs of tests/twins.yaml as well; where a rule says that two memories *differ*, so does a row here.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import miras
from miras.memory import Memory
from miras.state import start

HEADS, KEY, VALUE, TIME = 2, 4, 3, 9

Spec = dict[str, Any]
Gates = dict[str, Tensor]
RULES: dict[str, Callable[[], None]] = {}


def rule(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def enter(check: Callable[[], None]) -> Callable[[], None]:
        RULES[name] = check
        return check

    return enter


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 17 * len(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def share(*shape: int, low: float = 0.5, high: float = 1.0, seed: int = 0) -> Tensor:
    return low + (high - low) * draw(*shape, seed=seed).sigmoid()


QUERY, KEYS = draw(1, TIME, HEADS, KEY), draw(1, TIME, HEADS, KEY, seed=1)
VALUES = draw(1, TIME, HEADS, VALUE, seed=2)
UNIT = KEYS / KEYS.norm(dim=-1, keepdim=True)
ALPHA, BETA = share(1, TIME, HEADS), share(1, TIME, HEADS, low=0.1, seed=3)
ETA = share(1, TIME, HEADS, low=0.2, high=0.8, seed=4)


def answer(
    spec: Spec,
    gates: Gates | None = None,
    *,
    query: Tensor = QUERY,
    key: Tensor = UNIT,
    value: Tensor = VALUES,
    plan: str = "definition",
) -> Tensor:
    memory = Memory.model_validate({"architecture": "matrix"} | spec)
    return miras.run(memory, query, key, value, gates or {}, plan=plan)[0]


def same(one: Tensor, other: Tensor) -> None:
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-9), (one - other).abs().max()


def different(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-3


def decay(axis: str = "scalar") -> Spec:
    return {"retention": {"kind": "decay", "axis": axis}}


DOT: Spec = {"bias": "dot"}
FULL: Spec = {"optimizer": {"kind": "gd", "step": {"kind": "constant", "value": 1.0}}}


ROBUST: Spec = {"bias": {"kind": "huber", "threshold": "sigmoid"}}


@rule("R1: the step of a dot memory is a factor of the value")
def _() -> None:
    stepped = answer(DOT | decay(), {"decay": ALPHA, "step": BETA})
    same(stepped, answer(DOT | decay() | FULL, {"decay": ALPHA}, value=BETA[..., None] * VALUES))


@rule("R2: l2 with gd is the delta rule")
def _() -> None:
    found, weights = [], torch.zeros(1, HEADS, VALUE, KEY, dtype=torch.float64)
    for t in range(TIME):
        k, b = UNIT[:, t, :, None], BETA[:, t, :, None, None]
        erase = torch.eye(KEY).double() - b * k.mT @ k
        weights = weights @ erase + b * VALUES[:, t, :, :, None] @ k
        found.append((weights @ QUERY[:, t, :, :, None])[..., 0])
    same(answer({}, {"step": BETA}), torch.stack(found, 1))


@rule("R3: implicit and exact flow are gd with another step")
def _() -> None:
    square = KEYS.square().sum(-1)
    for kind, step in (
        ("implicit", BETA / (1 + BETA * square)),
        ("exact_flow", -torch.expm1(-BETA * square) / square),
    ):
        same(
            answer({"optimizer": kind}, {"step": BETA}, key=KEYS),
            answer({}, {"step": step}, key=KEYS),
        )


@rule("R5: momentum on dot is linear attention with a kernel of two decays")
def _() -> None:
    spec = DOT | decay() | {"optimizer": "momentum"}
    gates = {"decay": ALPHA, "step": BETA, "momentum": ETA}
    kernel = _products(ALPHA) @ _products(ETA) * BETA.permute(0, 2, 1)[..., None, :]
    scores = torch.einsum("bthk,bshk->bhts", QUERY, UNIT) * kernel
    same(answer(spec, gates), torch.einsum("bhts,bshv->bthv", scores, VALUES))


def _products(gate: Tensor) -> Tensor:
    """Products of a gate over the tokens after s up to t, `[batch, heads, t, s]`."""
    logs = gate.log().cumsum(1).permute(0, 2, 1)
    return (logs[..., :, None] - logs[..., None, :]).exp().tril()


@rule("R6: error before the decay is error after it with a larger erase gate")
def _() -> None:
    before = answer(
        decay() | {"optimizer": {"kind": "gd", "gradient_at": "previous"}},
        {"decay": ALPHA, "step": BETA},
    )
    erasing: Spec = {"optimizer": {"kind": "gd", "erase": "sigmoid", "erase_axis": "scalar"}}
    gates = {"decay": ALPHA, "step": BETA}
    same(before, answer(decay() | erasing, gates | {"erase": 1 / ALPHA}))
    different(before, answer(decay(), gates))


@rule("R9: the normaliser is a value channel of ones")
def _() -> None:
    positive = {"architecture": {"kind": "matrix", "features": "elu1"}} | DOT | decay()
    divided = {"architecture": {"kind": "matrix", "features": "elu1", "normaliser": True}}
    gates = {"decay": ALPHA, "step": BETA}
    wider = answer(positive, gates, value=torch.cat((VALUES, torch.ones_like(VALUES[..., :1])), -1))
    same(answer(positive | divided, gates), wider[..., :-1] / (wider[..., -1:] + 1e-6))


@rule("R10: HGRN2 is GLA whose key is 1 - decay")
def _() -> None:
    alpha = share(1, TIME, HEADS, KEY)
    tied = {"architecture": {"kind": "matrix", "features": "complement"}}
    plain = DOT | FULL | decay("key")
    gates = {"decay_key": alpha}
    silu = torch.nn.functional.silu(QUERY)
    same(answer(tied | plain, gates), answer(plain, gates, query=silu, key=1 - alpha))


@rule("R10: a vector memory is a matrix memory whose key is 1")
def _() -> None:
    alpha = share(1, TIME, HEADS, VALUE)
    ones, gates = torch.ones(1, TIME, HEADS, 1).double(), {"decay_value": alpha, "step": BETA}
    vector = {"architecture": "vector"} | DOT | decay("value")
    matrix = answer(DOT | decay("value"), gates, query=ones, key=ones)
    same(answer(vector, gates, query=ones, key=ones), matrix)


@rule("R12: attention is the minimiser of squares weighted by a kernel")
def _() -> None:
    attention = {"architecture": "kv", "optimizer": "closed_form"}
    logits = torch.einsum("bthk,bshk->bhts", QUERY, KEYS) / KEY**0.5
    kernel = logits.exp().tril()
    # The minimiser of sum_s kernel (v_s - z)^2 is where its derivative is zero.
    least = torch.einsum("bhts,bshv->bthv", kernel / kernel.sum(-1, keepdim=True), VALUES)
    same(answer(attention, key=KEYS), least)


@rule("R13: l2 at the weights of a chunk's start is dot on what those leave over")
def _() -> None:
    frozen: Spec = {
        "optimizer": {"kind": "gd", "gradient_at": "anchor", "chunk": TIME, "scale": "key_dim"}
    }
    first = draw(HEADS, VALUE, KEY, seed=5)
    memory = Memory.model_validate({"architecture": "matrix"} | decay() | frozen)
    weights = {"matrix": first}
    began = start(memory, 1, HEADS, KEY, VALUE, weights, torch.float64)
    gates = {"decay": ALPHA, "step": BETA}
    found = miras.run(memory, QUERY, UNIT, VALUES, gates, began, plan="definition")[0]
    left = VALUES - torch.einsum("hvk,bthk->bthv", first, UNIT)
    gla = Memory.model_validate({"architecture": "matrix"} | DOT | decay())
    began = start(gla, 1, HEADS, KEY, VALUE, weights, torch.float64)
    gates = {"decay": ALPHA, "step": BETA / KEY}
    same(found, miras.run(gla, QUERY, UNIT, left, gates, began, plan="definition")[0])


@rule("R15: a window of one token is no window")
def _() -> None:
    same(answer({"bias": {"kind": "l2", "window": 1}}, {"step": BETA}), answer({}, {"step": BETA}))


@rule("R15: one step for orthogonal keys is a step for each")
def _() -> None:
    half = {"step": {"kind": "sigmoid", "scale": 0.5}}
    together: Spec = {"optimizer": {"kind": "gd", "batch": KEY} | half}
    keys = torch.eye(KEY).double().repeat(2, 1)[None, :, None].expand(1, 2 * KEY, HEADS, KEY)
    gates, single = {"step": BETA[:, : 2 * KEY] / 2}, {"optimizer": {"kind": "gd"} | half}

    def last(spec: Spec, key: Tensor) -> Tensor:
        query, value = QUERY[:, : 2 * KEY], VALUES[:, : 2 * KEY]
        return answer(spec, gates, query=query, key=key, value=value)[:, KEY - 1 :: KEY]

    same(last(together, keys), last(single, keys))
    keys = UNIT[:, : 2 * KEY]
    different(last(together, keys), last(single, keys))


@rule("R19: a constant scale of the values is a scale of what is read")
def _() -> None:
    for spec in (DOT, {}):
        same(answer(spec, {"step": BETA}, value=7 * VALUES), 7 * answer(spec, {"step": BETA}))
    different(
        answer(ROBUST, {"step": BETA, "threshold": ETA}, value=7 * VALUES),
        7 * answer(ROBUST, {"step": BETA, "threshold": ETA}),
    )


@rule("R20: the length of a key is part of step and value")
def _() -> None:
    length = KEYS.norm(dim=-1)
    scaled = answer({}, {"step": BETA * length**2}, value=VALUES / length[..., None])
    same(answer({}, {"step": BETA}, key=KEYS), scaled)


@rule("R20: under any bias a constant length of keys is one of queries and steps")
def _() -> None:
    gates = {"step": BETA / 9, "threshold": ETA}
    longer = answer(ROBUST, gates, key=3 * UNIT, query=3 * QUERY)
    same(longer, answer(ROBUST, gates | {"step": BETA}))


@rule("R22: the gradient of dot is the same at all weights")
def _() -> None:
    chunked: Spec = {"optimizer": {"kind": "gd", "gradient_at": "anchor", "chunk": 4}}
    gates = {"decay": ALPHA, "step": BETA}
    same(answer(DOT | decay() | chunked, gates), answer(DOT | decay(), gates))


@rule("R26: a decay of value channels is one of the values, and of what is read")
def _() -> None:
    alpha = share(1, TIME, HEADS, VALUE, low=0.8)
    total = alpha.log().cumsum(1).exp()
    for spec in (DOT, {}):
        decayed = answer(spec | decay("value"), {"decay_value": alpha, "step": BETA})
        same(decayed, total * answer(spec, {"step": BETA}, value=VALUES / total))


@rule("R27: read address, write direction and value gate fix the delta rules")
def _() -> None:
    asked, along = share(1, TIME, HEADS, KEY), share(1, TIME, HEADS, KEY, seed=6)
    gain, alpha = share(1, TIME, HEADS, VALUE, seed=7), share(1, TIME, HEADS, KEY, seed=8)
    spec = decay("key") | {
        "optimizer": {"kind": "gd", "step_axis": "key", "erase": "sigmoid", "write": "sigmoid"}
    }
    gates = {"decay_key": alpha, "step_key": along, "erase_key": asked, "write_value": gain}
    weights = torch.zeros(HEADS, VALUE, KEY, dtype=torch.float64)
    found: list[Tensor] = []
    for t in range(TIME):
        k = UNIT[0, t]
        weights = weights * alpha[0, t, :, None, :]
        read = torch.einsum("hvk,hk->hv", weights, asked[0, t] * k)
        new = gain[0, t] * VALUES[0, t] - read
        weights = weights + new[..., None] * (along[0, t] * k)[:, None, :]
        found.append(torch.einsum("hvk,hk->hv", weights, QUERY[0, t]))
    same(answer(spec, gates), torch.stack(found)[None])


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    RULES[name]()
