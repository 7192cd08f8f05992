"""The equivalence rules R1-R13 of the project's catalogue of memories, each as two runs.

One memory gets its tensors and another memory tensors made from them, and both must answer the
same. Rules that rewrite a memory to its normal form (R3, R4, R16, R21 to R24 and the limits of
parts) are pairs of tests/twins.yaml as well; where a rule says that two memories *differ*, so does
a test here. tests/catalogue_rules.yaml lists what carries each rule.
"""

import torch
from equivalence import (
    ALPHA,
    BETA,
    DOT,
    ETA,
    FULL,
    HEADS,
    KEY,
    KEYS,
    QUERY,
    TIME,
    UNIT,
    VALUE,
    VALUES,
    Spec,
    answer,
    decay,
    different,
    draw,
    played,
    same,
    share,
)
from torch import Tensor

import miras
from miras.memory import Memory
from miras.state import start


def test_r1_the_step_of_a_dot_memory_is_a_factor_of_the_value() -> None:
    stepped = answer(DOT | decay(), {"decay": ALPHA, "step": BETA})
    same(stepped, answer(DOT | decay() | FULL, {"decay": ALPHA}, value=BETA[..., None] * VALUES))


def test_r2_l2_with_gd_is_the_delta_rule() -> None:
    found, weights = [], torch.zeros(1, HEADS, VALUE, KEY, dtype=torch.float64)
    for t in range(TIME):
        k, b = UNIT[:, t, :, None], BETA[:, t, :, None, None]
        erase = torch.eye(KEY).double() - b * k.mT @ k
        weights = weights @ erase + b * VALUES[:, t, :, :, None] @ k
        found.append((weights @ QUERY[:, t, :, :, None])[..., 0])
    same(answer({}, {"step": BETA}), torch.stack(found, 1))


def test_r3_implicit_and_exact_flow_are_gd_with_another_step() -> None:
    square = KEYS.square().sum(-1)
    for kind, step in (
        ("implicit", BETA / (1 + BETA * square)),
        ("exact_flow", -torch.expm1(-BETA * square) / square),
    ):
        same(
            answer({"optimizer": kind}, {"step": BETA}, key=KEYS),
            answer({}, {"step": step}, key=KEYS),
        )


def test_r4_erasing_before_a_write_of_dot_is_the_delta_rule() -> None:
    """Where the gradient is taken before the decay, so is the erasure: pre-decay gated delta."""
    gates = {"decay": ALPHA, "step": BETA}
    for at in ("previous", "retained"):
        erasing: Spec = {"optimizer": {"kind": "delta_gd", "gradient_at": at}}
        delta: Spec = {"optimizer": {"kind": "gd", "gradient_at": at}}
        one = played(DOT | decay() | erasing, gates)
        other = played(decay() | delta, gates)
        same(one[0], other[0])
        same(one[1]["matrix"], other[1]["matrix"])
    closed: Spec = {"optimizer": {"kind": "delta_gd", "closed": True}}
    shorter = gates | {"step": BETA / (1 + BETA)}
    same(answer(DOT | decay() | closed, gates), answer(decay(), shorter))


def test_r4_erasing_before_a_write_of_l2_erases_twice() -> None:
    gates = {"decay": ALPHA, "step": BETA / 2}
    halved: Spec = {"optimizer": {"kind": "gd", "write": "sigmoid", "write_axis": "scalar"}}
    twice = {"decay": ALPHA, "step": BETA, "write": torch.full_like(BETA, 0.5)}
    one, other = (
        played(decay() | {"optimizer": "delta_gd"}, gates),
        played(decay() | halved, twice),
    )
    same(one[0], other[0])
    same(one[1]["matrix"], other[1]["matrix"])
    different(one[0], answer(decay(), gates))


def test_r5_momentum_on_dot_is_linear_attention_with_a_kernel_of_two_decays() -> None:
    spec = DOT | decay() | {"optimizer": "momentum"}
    gates = {"decay": ALPHA, "step": BETA, "momentum": ETA}
    kernel = _products(ALPHA) @ _products(ETA) * BETA.permute(0, 2, 1)[..., None, :]
    scores = torch.einsum("bthk,bshk->bhts", QUERY, UNIT) * kernel
    same(answer(spec, gates), torch.einsum("bhts,bshv->bthv", scores, VALUES))


def _products(gate: Tensor) -> Tensor:
    """Products of a gate over the tokens after s up to t, `[batch, heads, t, s]`."""
    logs = gate.log().cumsum(1).permute(0, 2, 1)
    return (logs[..., :, None] - logs[..., None, :]).exp().tril()


def test_r6_error_before_the_decay_is_error_after_it_with_a_larger_erase_gate() -> None:
    before = answer(
        decay() | {"optimizer": {"kind": "gd", "gradient_at": "previous"}},
        {"decay": ALPHA, "step": BETA},
    )
    erasing: Spec = {"optimizer": {"kind": "gd", "erase": "sigmoid", "erase_axis": "scalar"}}
    gates = {"decay": ALPHA, "step": BETA}
    same(before, answer(decay() | erasing, gates | {"erase": 1 / ALPHA}))
    different(before, answer(decay(), gates))


def test_r7_oja_is_the_delta_rule_on_the_transposed_matrix() -> None:
    """W_t = a W_(t-1) + b v (k - W^T v)^T, W `[value, key]`, read W q."""
    found, weights = [], torch.zeros(1, HEADS, VALUE, KEY, dtype=torch.float64)
    for t in range(TIME):
        weights = ALPHA[:, t, :, None, None] * weights
        k, v = UNIT[:, t], VALUES[:, t] / 3
        missed = k - torch.einsum("bhvk,bhv->bhk", weights, v)
        write = torch.einsum("bhv,bhk->bhvk", v, missed)
        weights = weights + BETA[:, t, :, None, None] * write
        found.append(torch.einsum("bhvk,bhk->bhv", weights, QUERY[:, t]))
    # One size for both sides: a value gets a channel of zeros.
    values = torch.cat((VALUES, torch.zeros_like(VALUES[..., :1])), -1) / 3
    gates = {"decay": ALPHA, "step": BETA}
    backwards = {"architecture": "transposed"} | decay()
    oja = played(backwards, gates, key=values, value=UNIT)
    same(oja[0][..., :VALUE], torch.stack(found, 1))
    assert not oja[0][..., VALUE:].any()
    delta = played(decay(), gates, key=values, value=UNIT)
    same(oja[1]["matrix"], delta[1]["matrix"])
    same(oja[1]["matrix"][..., :VALUE], weights.mT)
    different(oja[0], delta[0])


RANK_ONE: Spec = {
    "kind": "diagonal_plus_rank_one",
    "axis": "key",
    "gate": "sigmoid",
    "order": "after",
}


def test_r8_kda_is_a_diagonal_and_a_product_along_the_key() -> None:
    alpha = share(1, TIME, HEADS, KEY)
    kda = played(decay("key"), {"decay_key": alpha, "step": BETA})
    scale = torch.ones(HEADS, KEY).double()
    gates = {"decay_key": alpha, "step": BETA, "removal": BETA, "erased_scale": scale}
    general = played(DOT | {"retention": RANK_ONE}, gates)
    same(kda[0], general[0])
    same(kda[1]["matrix"], general[1]["matrix"])
    # Before the decay a = alpha * k is asked instead of k (the catalogue's a = alpha * k, b = -k).
    together: Spec = {"retention": RANK_ONE | {"order": "together", "address": "linear"}}
    together["retention"] |= {"removal_axis": "key"}
    asked = alpha * UNIT
    removal = BETA[..., None] * asked.square().sum(-1, keepdim=True) / alpha
    gates = {"decay_key": alpha, "step": BETA, "removal_key": removal, "erased_key": asked}
    same(kda[0], answer(DOT | together, gates))


def test_r8_gated_deltanet_2_erases_along_a_gated_key() -> None:
    alpha, asked = share(1, TIME, HEADS, KEY), share(1, TIME, HEADS, KEY, seed=6)
    gain = share(1, TIME, HEADS, VALUE, seed=7)
    two: Spec = {"optimizer": {"kind": "gd", "erase": "sigmoid", "write": "sigmoid"}}
    gates = {"decay_key": alpha, "step": BETA, "erase_key": asked, "write_value": gain}
    wanted = played(decay("key") | two, gates)
    spec: Spec = {"retention": RANK_ONE | {"address": "linear", "removal_axis": "key"}}
    spec["optimizer"] = {"kind": "gd", "write": "sigmoid"}
    # (W e) (a * e)^T with e = asked * k / |asked * k| must be (W (asked * k)) (b k)^T.
    along = asked * UNIT
    removal = BETA[..., None] * along.square().sum(-1, keepdim=True) / asked
    gates = {"decay_key": alpha, "step": BETA, "write_value": gain}
    found = played(DOT | spec, gates | {"erased_key": along, "removal_key": removal})
    same(found[0], wanted[0])
    same(found[1]["matrix"], wanted[1]["matrix"])


def test_r8_rwkv_7_erases_along_another_direction_than_it_writes() -> None:
    alpha, part = share(1, TIME, HEADS, KEY), share(1, TIME, HEADS, KEY, seed=6, low=0.1)
    kappa = draw(HEADS, KEY, seed=9)
    spec: Spec = {"retention": RANK_ONE | {"order": "together", "removal_axis": "key"}}
    gates = {"decay_key": alpha, "step": BETA, "removal_key": part, "erased_scale": kappa}
    found, weights = [], torch.zeros(HEADS, VALUE, KEY, dtype=torch.float64)
    for t in range(TIME):
        k, v = UNIT[0, t], VALUES[0, t]
        address = kappa * k / (kappa * k).norm(dim=-1, keepdim=True)
        diagonal = torch.diag_embed(alpha[0, t])
        moved = diagonal - address[..., :, None] * (part[0, t] * address)[..., None, :]
        weights = weights @ moved + BETA[0, t, :, None, None] * v[..., :, None] * k[..., None, :]
        found.append((weights @ QUERY[0, t, :, :, None])[..., 0])
    same(answer(DOT | spec, gates), torch.stack(found)[None])


def test_r9_the_normaliser_is_a_value_channel_of_ones() -> None:
    positive = {"architecture": {"kind": "matrix", "features": "elu1"}} | DOT | decay()
    divided = {"architecture": {"kind": "matrix", "features": "elu1", "normaliser": True}}
    gates = {"decay": ALPHA, "step": BETA}
    wider = answer(positive, gates, value=torch.cat((VALUES, torch.ones_like(VALUES[..., :1])), -1))
    same(answer(positive | divided, gates), wider[..., :-1] / (wider[..., -1:] + 1e-6))


def test_r10_hgrn2_is_gla_whose_key_is_one_less_decay() -> None:
    alpha = share(1, TIME, HEADS, KEY)
    tied = {"architecture": {"kind": "matrix", "features": "complement"}}
    plain = DOT | FULL | decay("key")
    gates = {"decay_key": alpha}
    silu = torch.nn.functional.silu(QUERY)
    same(answer(tied | plain, gates), answer(plain, gates, query=silu, key=1 - alpha))


def test_r10_a_vector_memory_is_a_matrix_memory_whose_key_is_1() -> None:
    alpha = share(1, TIME, HEADS, VALUE)
    ones, gates = torch.ones(1, TIME, HEADS, 1).double(), {"decay_value": alpha, "step": BETA}
    vector = {"architecture": "vector"} | DOT | decay("value")
    matrix = answer(DOT | decay("value"), gates, query=ones, key=ones)
    same(answer(vector, gates, query=ones, key=ones), matrix)


def test_r11_a_trapezoid_is_linear_attention_with_mixed_weights() -> None:
    """Write weight c_j + (1 - c_(j+1)) of j for all that come later, c_t at t itself."""
    step = torch.ones_like(BETA)
    spec = DOT | decay() | {"optimizer": "trapezoid"}
    found = answer(spec, {"decay": ALPHA, "step": step, "lead": BETA})
    late = torch.cat((1 - BETA[:, 1:], torch.zeros_like(BETA[:, :1])), 1)
    gla = answer(DOT | decay(), {"decay": ALPHA, "step": BETA + late})
    own = (late * (QUERY * UNIT).sum(-1))[..., None] * VALUES  # what comes with the next token
    same(found, gla - own)
    different(found, gla)


def test_r12_attention_is_the_minimiser_of_squares_weighted_by_a_kernel() -> None:
    attention = {"architecture": "kv", "optimizer": "closed_form"}
    logits = torch.einsum("bthk,bshk->bhts", QUERY, KEYS) / KEY**0.5
    kernel = logits.exp().tril()
    # The minimiser of sum_s kernel (v_s - z)^2 is where its derivative is zero.
    least = torch.einsum("bhts,bshv->bthv", kernel / kernel.sum(-1, keepdim=True), VALUES)
    same(answer(attention, key=KEYS), least)


def test_r13_l2_at_the_weights_of_a_chunk_start_is_dot_on_what_those_leave_over() -> None:
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
